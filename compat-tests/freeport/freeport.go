// Package freeport finds free TCP ports for servers.
package freeport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"
)

// The ports are outside the range from which systems assign ports.
const lowest, highest = 20000, 32000

var (
	mu       sync.Mutex
	reserved []net.PacketConn
)

// New returns a TCP port of 127.0.0.1 on which nothing listens. It is reserved until the
// process ends: no call of New in this or another process returns it again. New may be
// called concurrently.
func New() string {
	for {
		port := strconv.Itoa(lowest + rand.IntN(highest-lowest))
		// The UDP port of the same number is the reservation.
		reservation, err := net.ListenPacket("udp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		// To listen on the port would be another way to find out whether it is free. But a
		// process that is being started has a copy of the listener for a moment.
		if conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second); err == nil {
			conn.Close()
			reservation.Close()
			continue
		}
		mu.Lock()
		reserved = append(reserved, reservation) // or else it would be garbage collected, and closed
		mu.Unlock()
		return port
	}
}
