//go:build !unix

package engineio

import (
	"errors"
	"net"
	"syscall"
)

// On other systems every write is made by a goroutine, and every connection keeps a
// read buffer.

func rawConn(net.Conn) syscall.RawConn { return nil }

func writeNoWait(syscall.RawConn, []byte) (int, error) { return 0, nil }

func readWhenReady(raw syscall.RawConn, get func() []byte, put func()) (int, error) {
	return 0, errors.ErrUnsupported
}
