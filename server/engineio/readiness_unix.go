//go:build unix

package engineio

import (
	"io"
	"syscall"
)

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
