// Package freeport finds ports for servers that are started with a port number.
package freeport

import (
	"math/rand/v2"
	"net"
	"strconv"
)

// New returns a port of 127.0.0.1 on which nobody listens. It is below the range from
// which the system assigns ports, so that it usually stays free until a server is
// started on it; another process that looks for a port may still take it.
func New() string {
	const lowest, highest = 20000, 32000
	for {
		port := strconv.Itoa(lowest + rand.IntN(highest-lowest))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
}
