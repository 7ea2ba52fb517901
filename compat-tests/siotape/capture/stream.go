package capture

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// maxBehind is how many bytes of one direction of a connection may wait to be read. Above
// it the sender is blocked, so that nothing is lost.
const maxBehind = 4 << 20

// A stream is a copy of what one side of a connection sends, with the time of each chunk.
type stream struct {
	mu      sync.Mutex
	changed *sync.Cond
	chunks  []chunk
	size    int
	ended   bool
	dropped bool           // it is not read any longer
	passing *time.Duration // when the chunk was received that is forwarded and not put yet
	hungUp  *time.Duration

	// Used by the reader only.
	rest    []byte
	at      time.Duration // time of the chunk that was read last
	offset  int64         // bytes read
	waiting bool          // guarded by mu: the reader has read all there is
}

type chunk struct {
	at   time.Duration
	data []byte
}

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// announce notes that a chunk was received and will be forwarded: the answer of the other
// side may be received before the call of put.
func (s *stream) announce(at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passing = &at
}

// put adds a chunk that was announced and forwarded.
func (s *stream) put(at time.Duration, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.passing = nil }()
	for s.size > maxBehind && !s.dropped {
		s.changed.Wait()
	}
	if s.dropped {
		return
	}
	s.chunks = append(s.chunks, chunk{at, bytes.Clone(data)})
	s.size += len(data)
	s.changed.Broadcast()
}

// end notes that the stream has ended, and when the side closed the connection, if it did.
func (s *stream) end(hungUp *time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.hungUp = true, hungUp
	s.changed.Broadcast()
}

func (s *stream) hasHungUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hungUp != nil
}

// hangUp returns when the side closed the connection, or nil if it did not, or was the
// second to do so.
func (s *stream) hangUp() *time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hungUp
}

// hungUpBefore reports whether the side closed the connection before that moment, and
// before the other side did.
func (s *stream) hungUpBefore(at time.Duration) bool {
	hungUp := s.hangUp()
	return hungUp != nil && *hungUp < at
}

// isBehind reports whether something from before at has not been read.
func (s *stream) isBehind(at time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped {
		return false
	}
	if s.passing != nil && *s.passing < at {
		return true
	}
	return len(s.chunks) > 0 && s.chunks[0].at < at || !s.waiting && s.at < at && s.offset > 0
}

// Read returns bytes of one chunk only, so that at is the time of what a buffered reader
// returns next.
func (s *stream) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		if !s.next() {
			return 0, io.EOF
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	s.mu.Lock()
	s.offset += int64(n)
	s.mu.Unlock()
	return n, nil
}

func (s *stream) next() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.chunks) == 0 && !s.ended {
		s.waiting = true
		s.changed.Wait()
	}
	if len(s.chunks) == 0 {
		s.waiting = true
		return false
	}
	s.waiting = false
	c := s.chunks[0]
	s.chunks[0] = chunk{}
	s.chunks = s.chunks[1:]
	s.size -= len(c.data)
	s.rest, s.at = c.data, c.at
	s.changed.Broadcast()
	return true
}

// drop discards everything from now on, without blocking the sender.
func (s *stream) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped, s.chunks, s.size = true, nil, 0
	s.changed.Broadcast()
}

// waitEnd waits until the side has ended, after drop.
func (s *stream) waitEnd() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.ended {
		s.changed.Wait()
	}
}
