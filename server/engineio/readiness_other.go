//go:build !unix

package engineio

import (
	"errors"
	"syscall"
)

// On other systems, where raw is nil, every connection keeps a read buffer.
type readinessReader struct {
	raw    syscall.RawConn
	reader *frameReader
}

func (*readinessReader) read() (int, error) { return 0, errors.ErrUnsupported }
