//go:build unix

package engineio

import (
	"io"
	"net"
	"syscall"
)

// rawConn returns the raw connection for a nonblockingWriter and a readinessReader, or
// nil if c has none.
func rawConn(c net.Conn) syscall.RawConn {
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

// nonblockingWriter writes without blocking. Like readinessReader, it keeps what a call
// needs, so that a call allocates nothing.
type nonblockingWriter struct {
	raw     syscall.RawConn // nil if the connection has none
	b       []byte
	n       int
	err     error
	attempt func(fd uintptr) bool // the method try, of which each use would allocate
}

// write writes as much as the kernel accepts without blocking, and returns how much
// that was.
func (w *nonblockingWriter) write(b []byte) (n int, err error) {
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

func (w *nonblockingWriter) try(fd uintptr) bool {
	for {
		if w.n, w.err = syscall.Write(int(fd), w.b); w.err != syscall.EINTR {
			return true
		}
	}
}

// readinessReader reads when there is something to read.
type readinessReader struct {
	raw     syscall.RawConn // nil if the connection has none
	reader  *frameReader
	n       int
	err     error
	attempt func(fd uintptr) bool // the method try, of which each use would allocate
}

// read waits until the connection is readable, and only then takes a buffer for reader,
// which has none, and reads into that.
func (r *readinessReader) read() (n int, err error) {
	if r.attempt == nil {
		r.attempt = r.try
	}
	rawErr := r.raw.Read(r.attempt)
	switch {
	case rawErr != nil:
		return 0, rawErr
	case r.err != nil:
		return 0, r.err
	case r.n == 0:
		return 0, io.EOF
	}
	return r.n, nil
}

func (r *readinessReader) try(fd uintptr) bool {
	b := r.reader.takeBuffer()
	for {
		if r.n, r.err = syscall.Read(int(fd), b); r.err != syscall.EINTR {
			break
		}
	}
	if r.err == syscall.EAGAIN {
		r.reader.putBuffer()
		return false
	}
	return true
}
