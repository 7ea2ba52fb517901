//go:build unix

package engineio

import (
	"io"
	"net"
	"syscall"
)

// rawConn returns the raw connection for writeNoWait and readWhenReady, or nil if c
// has none.
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

// writeNoWait writes as much as the kernel accepts without blocking, and returns how
// much that was.
func writeNoWait(raw syscall.RawConn, b []byte) (n int, err error) {
	if raw == nil {
		return 0, nil
	}
	rawErr := raw.Write(func(fd uintptr) bool {
		for {
			n, err = syscall.Write(int(fd), b)
			if err != syscall.EINTR {
				return true
			}
		}
	})
	switch {
	case rawErr != nil:
		return 0, rawErr
	case err == syscall.EAGAIN:
		return 0, nil
	}
	return max(n, 0), err
}

// readWhenReady waits until the connection is readable, and only then calls get for a
// buffer to read into. It calls put to return the buffer if there was nothing to read
// after all.
func readWhenReady(raw syscall.RawConn, get func() []byte, put func()) (n int, err error) {
	rawErr := raw.Read(func(fd uintptr) bool {
		b := get()
		for {
			n, err = syscall.Read(int(fd), b)
			if err != syscall.EINTR {
				break
			}
		}
		if err == syscall.EAGAIN {
			put()
			return false
		}
		return true
	})
	switch {
	case rawErr != nil:
		return 0, rawErr
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
