package main

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A peer that vanishes without a word is noticed within 10 s: after 3 s of
// silence the kernel asks every 2 s, and gives up when nothing was answered,
// neither a probe nor data, for vanishedAfter.
const (
	vanishedAfter = 9 * time.Second
	probeAfter    = 3 * time.Second
	probeEvery    = 2 * time.Second
	probes        = 3
)

// listener accepts TCP connections and can close all that are still open,
// those that became WebSockets too, which http.Server forgets.
type listener struct {
	net.Listener
	mu     sync.Mutex
	open   map[*conn]struct{}
	closed bool
}

func listen(ctx context.Context, addr string) (*listener, error) {
	config := net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: probeAfter, Interval: probeEvery, Count: probes},
		Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			controlErr := c.Control(func(fd uintptr) { // accepted connections inherit it
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(vanishedAfter.Milliseconds()))
			})
			if controlErr != nil {
				return controlErr
			}
			return err
		},
	}
	l, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &listener{Listener: l, open: make(map[*conn]struct{})}, nil
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	tracked := &conn{Conn: c, listener: l}
	if l.closed {
		c.Close()
	}
	l.open[tracked] = struct{}{}
	return tracked, nil
}

// CloseConns closes every connection that was accepted.
func (l *listener) CloseConns() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.open {
		c.Conn.Close()
	}
}

type conn struct {
	net.Conn
	listener *listener
}

func (c *conn) Close() error {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	delete(c.listener.open, c)
	return c.Conn.Close()
}
