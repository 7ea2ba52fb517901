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

type noWait struct{ raw syscall.RawConn }

func (*noWait) write([]byte) (int, error) { return 0, nil }

type whenReady struct {
	raw    syscall.RawConn
	reader *frameReader
}

func (*whenReady) read() (int, error) { return 0, errors.ErrUnsupported }
