//go:build !unix

// Package nonblocking writes to connections without waiting for them. On this system that
// is not possible, so that it writes nothing.
package nonblocking

import (
	"net"
	"syscall"
)

// RawConn returns nil.
func RawConn(net.Conn) syscall.RawConn { return nil }

// Writer accepts nothing.
type Writer struct{}

// NewWriter returns a Writer.
func NewWriter(syscall.RawConn) Writer { return Writer{} }

// Write accepts nothing of b, which is not an error.
func (*Writer) Write([]byte) (n int, err error) { return 0, nil }
