//go:build unix

// Package nonblocking writes to connections without waiting for them.
package nonblocking

import (
	"net"
	"syscall"
)

// RawConn returns the raw connection of c for use without blocking, or nil if c has none
// or the system does not allow that.
func RawConn(c net.Conn) syscall.RawConn {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// Writer writes to one connection without blocking. It keeps what a call needs, so that a
// call allocates nothing. The zero value accepts nothing. A Writer must not be copied
// after its first use, and its calls must be made one at a time.
type Writer struct {
	raw     syscall.RawConn // nil if the connection has none
	b       []byte
	n       int
	err     error
	attempt func(fd uintptr) bool // the method try, of which each use would allocate
}

// NewWriter returns a Writer for what RawConn returned, which may be nil.
func NewWriter(raw syscall.RawConn) Writer { return Writer{raw: raw} }

// Write writes as much as the kernel accepts without blocking, and returns how much
// that was. That it accepts nothing or not all is not an error; without a raw
// connection it accepts nothing.
func (w *Writer) Write(b []byte) (n int, err error) {
	if w.raw == nil {
		return 0, nil
	}
	if w.attempt == nil {
		w.attempt = w.try
	}
	w.b = b
	rawErr := w.raw.Write(w.attempt)
	w.b = nil
	switch {
	case rawErr != nil:
		return 0, rawErr
	case w.err == syscall.EAGAIN:
		return 0, nil
	}
	return max(w.n, 0), w.err
}

func (w *Writer) try(fd uintptr) bool {
	for {
		if w.n, w.err = syscall.Write(int(fd), w.b); w.err != syscall.EINTR {
			return true
		}
	}
}
