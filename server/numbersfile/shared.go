package numbersfile

import (
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// shared is what the files of a directory share, so that an idle file costs little.
type shared struct {
	buffers sync.Pool     // of *[]byte, for what is being written
	syncs   chan struct{} // has an element for each sync of a file that runs
	system  *fileSystem   // nil if files are synced one by one

	single atomic.Int64 // how long the last sync of a single file took, in ns

	mu      sync.Mutex
	running bool          // a round is
	next    *round        // gathers the files that wait for the next one, or nil
	faulty  bool          // syncing the file system has failed once
	slow    time.Duration // how long the last syncs of the file system took, if each was slow
	resumed time.Time     // until then it is not synced, as it was slow
}

// fileSystem is one that can be synced as a whole.
type fileSystem struct {
	sync func() error
	has  func(os.FileInfo) bool // whether that file is on it
}

const (
	// maxSyncs is how many files are synced at one time. Each is a thread of the
	// process.
	maxSyncs = 16
	// fewFiles is the most files that are synced one by one in a round. More are
	// synced with their file system: for 20 files that takes as long as for one, and a
	// tenth of the processor time of 20 syncs.
	fewFiles = 4
	// Syncing the file system also writes the data of other programs. It is slow if it
	// takes longer than slowSync and longer than syncing its files one after the other
	// would. When consecutive slow syncs add up to slowLimit, files are synced one by
	// one for slowTime. A single slow sync does not count as reason: 500 files that are
	// synced one by one take longer.
	slowSync  = 50 * time.Millisecond
	slowLimit = time.Second
	slowTime  = time.Minute
)

// newShared returns the shared state of the files in dir, which must stay open.
func newShared(dir *os.File) *shared {
	return &shared{
		buffers: sync.Pool{New: func() any { return new([]byte) }},
		syncs:   make(chan struct{}, maxSyncs),
		system:  fileSystemOf(dir),
	}
}

// buffer returns an empty buffer, which the caller returns to buffers.
func (s *shared) buffer() *[]byte {
	b := s.buffers.Get().(*[]byte)
	*b = (*b)[:0]
	return b
}

// syncer returns the function that syncs a file to which something was written.
func (s *shared) syncer(file os.FileInfo) func(disk) error {
	if s.system != nil && s.system.has(file) {
		return s.syncInRounds
	}
	return s.sync
}

// sync syncs a file when fewer than maxSyncs others are being synced.
func (s *shared) sync(d disk) error {
	s.syncs <- struct{}{}
	defer func() { <-s.syncs }()
	began := time.Now()
	err := d.Sync()
	s.single.Store(int64(time.Since(began)))
	return err
}

// busy reports whether a file is being synced, or will be.
func (s *shared) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running || len(s.syncs) > 0
}

// A round is a number of files that are synced together.
type round struct {
	files atomic.Int64  // that are not yet synced
	begun chan struct{} // closed when it is known how they are, or all were
	each  bool          // each of them with a sync of its own
}

// syncInRounds syncs a file together with the others that wait for that.
func (s *shared) syncInRounds(d disk) error {
	s.mu.Lock()
	if !s.running {
		s.running = true
		s.mu.Unlock()
		defer s.begin()
		return s.sync(d)
	}
	if s.next == nil {
		s.next = &round{begun: make(chan struct{})}
	}
	r := s.next
	r.files.Add(1)
	s.mu.Unlock()
	<-r.begun
	if !r.each {
		return nil
	}
	err := s.sync(d)
	if r.files.Add(-1) == 0 {
		s.begin()
	}
	return err
}

// begin begins the next round, if a file waits for it.
func (s *shared) begin() {
	s.mu.Lock()
	r, avoided := s.next, s.faulty || time.Now().Before(s.resumed)
	s.next, s.running = nil, r != nil
	s.mu.Unlock()
	switch {
	case r == nil:
	case avoided || r.files.Load() <= fewFiles:
		r.each = true
		close(r.begun)
	default:
		go s.syncSystem(r)
	}
}

// syncSystem syncs the file system with the files of a round. If that fails, each of
// them finds out whether the fault is its own, and the file system is not synced
// again: the kernel has now reported a fault that may be that of a file which waits
// for the next round.
func (s *shared) syncSystem(r *round) {
	began := time.Now()
	err := s.system.sync()
	took := time.Since(began)
	r.each = err != nil
	s.mu.Lock()
	s.faulty = s.faulty || err != nil
	if took > slowSync && int64(took) > r.files.Load()*s.single.Load() {
		s.slow += took
	} else {
		s.slow = 0
	}
	if s.slow >= slowLimit {
		s.slow, s.resumed = 0, time.Now().Add(slowTime)
	}
	s.mu.Unlock()
	close(r.begun)
	if !r.each {
		s.begin()
	}
}
