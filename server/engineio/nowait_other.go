//go:build !unix

package engineio

import (
	"errors"
	"net"
	"syscall"
)

// On other systems a goroutine writes and a buffer waits for what is read.

func rawConn(net.Conn) syscall.RawConn { return nil }

func writeNoWait(syscall.RawConn, []byte) (int, error) { return 0, nil }

func readWhenReady(raw syscall.RawConn, get func() []byte, put func()) (int, error) {
	return 0, errors.ErrUnsupported
}
