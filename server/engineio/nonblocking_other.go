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

type nonblockingWriter struct{ raw syscall.RawConn }

func (*nonblockingWriter) write([]byte) (int, error) { return 0, nil }

type readinessReader struct {
	raw    syscall.RawConn
	reader *frameReader
}

func (*readinessReader) read() (int, error) { return 0, errors.ErrUnsupported }
