// Package socketio is a minimal Socket.IO client: one session with a server, in namespace
// "/", over WebSocket, or over polling where a WebSocket is not available.
//
// It is not a general Socket.IO library, but what a client needs that runs for weeks and
// is often disconnected. The existing library for Go (zishang520/socket.io-client-go
// v1.1.0) was tested first: it delivers events out of order (2,034 of 10,000; a client
// that handles start_game before stop_game stops forever), a malformed packet ends the
// process, and each attempt to reach a server that accepts but does not answer leaks a
// goroutine and a socket.
package socketio

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"
)

// maxEarly is far more than the two events that precede CONNECT.
const maxEarly = 100

// Conn is a session with a server. It is not safe for concurrent use. The caller must
// Close it once.
type Conn struct {
	transport transport
	heard     func()
	early     []Packet // received before CONNECT
	packets   chan Packet
	err       error         // why packets was closed; set before that
	closed    chan struct{} // closed by Close
	running   sync.WaitGroup
}

// Options configure Dial.
type Options struct {
	// ConnectTimeout is how long the server's CONNECT packet may take after the session
	// is open; 0 means 8 s.
	ConnectTimeout time.Duration
	// Failed is how many consecutive calls of Dial have failed before. If a WebSocket
	// fails with a broken connection, as with a proxy that does not support it, every
	// third attempt falls back to polling: the loss of a session over polling is
	// detected much later. If it is refused, polling is used immediately.
	Failed int
	// Heard, if non-nil, is called whenever something is received from the server,
	// including pongs. It must be safe for concurrent use.
	Heard func()
}

const defaultConnectTimeout = 8 * time.Second

// Dial opens a session with the server at u, which must be returned by ParseURL. It
// returns when the server's CONNECT packet is received, or with an error when the server
// refuses, takes too long, or ctx ends. After Dial has returned, ctx has no effect.
func Dial(ctx context.Context, u *url.URL, o Options) (*Conn, error) {
	if o.Heard == nil {
		o.Heard = func() {}
	}
	timeout := cmp.Or(o.ConnectTimeout, defaultConnectTimeout)
	t, err := open(ctx, u, o)
	if err != nil {
		return nil, err
	}
	c := &Conn{transport: t, heard: o.Heard, packets: make(chan Packet), closed: make(chan struct{})}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the server did not connect within %v", timeout))
	defer cancel()
	// Closing the transport ends its read.
	end := sync.OnceFunc(func() { t.close("41") })
	unwatch := context.AfterFunc(ctx, end)
	err = c.connect()
	if !unwatch() {
		err = context.Cause(ctx)
	}
	if err != nil {
		end()
		return nil, err
	}
	c.running.Go(c.receive)
	return c, nil
}

// connect sends CONNECT and waits for the server's. Events that python-socketio sends
// before its CONNECT are kept for Packets.
func (c *Conn) connect() error {
	if err := c.transport.write("40"); err != nil {
		return err
	}
	for {
		p, err := c.next()
		switch {
		case err != nil:
			return err
		case p.Type == Connect:
			return nil
		case p.Type == ConnectError:
			return errors.New(p.Message)
		}
		if c.early = append(c.early, p); len(c.early) > maxEarly {
			return errors.New("the server sends events but does not connect")
		}
	}
}

// Packets returns the channel of events and acks, in order. It is closed when the session
// has ended; Err returns the reason. A malformed packet is delivered with type Broken and
// does not end the session.
func (c *Conn) Packets() <-chan Packet { return c.packets }

// Err returns why Packets was closed.
func (c *Conn) Err() error { return c.err }

// Emit sends an event and asks for an ack with that id.
func (c *Conn) Emit(id int64, name string, payload any) error {
	args, err := json.Marshal([]any{name, payload})
	if err != nil {
		return err
	}
	return c.transport.write(fmt.Sprintf("42%d%s", id, args))
}

// Close sends DISCONNECT and ends the session. It returns when all its resources are
// released, within a second.
func (c *Conn) Close() {
	close(c.closed)
	c.transport.close("41")
	c.running.Wait()
}

// receive delivers packets until the session ends.
func (c *Conn) receive() {
	defer close(c.packets)
	for _, p := range c.early {
		if !c.deliver(p) {
			return
		}
	}
	for {
		p, err := c.next()
		if err != nil {
			c.err = err
			return
		}
		if !c.deliver(p) {
			return
		}
	}
}

// deliver delivers a packet, unless the session is closed before it is received.
func (c *Conn) deliver(p Packet) bool {
	select {
	case c.packets <- p:
		return true
	case <-c.closed:
		return false
	}
}

// next reads the next packet for "/", and answers Engine.IO's pings meanwhile.
// https://github.com/socketio/engine.io-protocol#packet-encoding
func (c *Conn) next() (Packet, error) {
	for {
		frame, err := c.transport.read()
		if err != nil {
			return Packet{}, err
		}
		c.heard()
		switch {
		case strings.HasPrefix(frame, "1"):
			return Packet{}, errors.New("the server closed the session")
		case strings.HasPrefix(frame, "2"):
			if err := c.transport.write("3" + frame[1:]); err != nil {
				return Packet{}, err
			}
		case strings.HasPrefix(frame, "4"):
			p, err := parse(frame[1:])
			if err == errOtherNamespace {
				continue
			}
			if err != nil {
				p.Message = fmt.Sprintf("the server sent a broken packet, %.40q: %v", frame, err)
			}
			if p.Type == Disconnect {
				return p, errors.New("the server ended the session")
			}
			return p, nil
		}
	}
}
