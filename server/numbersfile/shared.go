package numbersfile

import (
	"os"
	"sync"
	"sync/atomic"
)

// shared is what the files of a directory share, so that one of which nothing is
// written costs little.
type shared struct {
	buffers sync.Pool     // of *[]byte, for what is being written
	syncs   chan struct{} // has an element for each sync of a file that runs

	// syncAll, if it is not nil, syncs the whole file system. Then files are synced
	// in rounds.
	syncAll func() error

	mu      sync.Mutex
	running bool   // a round is
	next    *round // gathers the files that wait for the next one, or nil
}

const (
	// maxSyncs is how many files are synced at one time where they are not synced in
	// rounds. Each is a thread of the process.
	maxSyncs = 16
	// fewFiles is how many files are synced one by one in a round. More are synced
	// with their file system: for 20 files that takes as long as for one, and a tenth
	// of the processor time of 20 syncs.
	fewFiles = 4
)

// newShared returns what the files in a directory share.
func newShared(dir *os.File) *shared {
	return &shared{
		buffers: sync.Pool{New: func() any { return new([]byte) }},
		syncs:   make(chan struct{}, maxSyncs),
		syncAll: fileSystemSync(dir),
	}
}

// buffer returns an empty buffer, which goes back into buffers.
func (s *shared) buffer() *[]byte {
	b := s.buffers.Get().(*[]byte)
	*b = (*b)[:0]
	return b
}

// A round is a number of files that are synced together.
type round struct {
	files atomic.Int64  // that are not yet synced
	begun chan struct{} // closed when it is known how
	each  bool          // each by itself
	err   error         // of syncing all
}

// sync syncs a file to which something was written, together with the others that
// wait for that.
func (s *shared) sync(d disk) error {
	if s.syncAll == nil {
		s.syncs <- struct{}{}
		defer func() { <-s.syncs }()
		return d.Sync()
	}
	s.mu.Lock()
	if !s.running {
		s.running = true
		s.mu.Unlock()
		defer s.begin()
		return d.Sync()
	}
	if s.next == nil {
		s.next = &round{begun: make(chan struct{})}
	}
	r := s.next
	r.files.Add(1)
	s.mu.Unlock()
	<-r.begun
	if !r.each {
		return r.err
	}
	err := d.Sync()
	if r.files.Add(-1) == 0 {
		s.begin()
	}
	return err
}

// begin begins the next round, if a file waits for it.
func (s *shared) begin() {
	s.mu.Lock()
	r := s.next
	s.next, s.running = nil, r != nil
	s.mu.Unlock()
	switch {
	case r == nil:
	case r.files.Load() <= fewFiles:
		r.each = true
		close(r.begun)
	default:
		go s.syncTogether(r)
	}
}

// syncTogether syncs the file system with the files of a round. If that fails, each
// of them finds out whether the fault is its own.
func (s *shared) syncTogether(r *round) {
	r.each = s.syncAll() != nil
	close(r.begun)
	if !r.each {
		s.begin()
	}
}
