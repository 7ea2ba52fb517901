// Package socketio is the clients' edge to Socket.IO: one session with a
// server, in namespace "/", over WebSocket, or by polling where a WebSocket is
// not to be had, and nothing else.
//
// It is not a Socket.IO library but the part that a client needs which counts
// for weeks and is cut off often. The library that exists for Go
// (zishang520/socket.io-client-go v1.1.0) was measured first: it hands events
// out in another order than they came (2,034 of 10,000: a client that sees
// start_game before stop_game stands still for good), it ends the process at
// a broken packet, and each attempt to reach a server that accepts but does
// not answer keeps a goroutine and a socket for good.
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

// maxEarly is far more than the two events that come before CONNECT.
const maxEarly = 100

// Conn is a session with a server. One goroutine may use it at a time, and has
// to close it once in the end.
type Conn struct {
	transport transport
	heard     func()
	early     []Packet // what came before CONNECT
	packets   chan Packet
	err       error         // why packets was closed; set before
	closed    chan struct{} // closed by Close
	running   sync.WaitGroup
}

// Options are for Dial.
type Options struct {
	// ConnectWait is how long the server's CONNECT packet may take once the
	// session is open; 0 is 8 s.
	ConnectWait time.Duration
	// Failed is how many times in a row Dial has failed before. A WebSocket that
	// breaks off is tried again, and only every third time given up for polling,
	// as where a proxy does not carry it: over a line that breaks, a session that
	// polls is noticed to be gone much later. One that is refused is given up at
	// the first time.
	Failed int
	// Heard, if not nil, is called whenever the server has said something, a
	// sign of life included. It must be safe for concurrent use.
	Heard func()
}

const defaultConnectWait = 8 * time.Second

// Dial opens a session with the server at u, which ParseURL returned. It
// returns when the server's CONNECT packet is there, or with an error when the
// server refuses, takes too long, or ctx ends. Once it has returned, ctx has no
// more effect.
func Dial(ctx context.Context, u *url.URL, o Options) (*Conn, error) {
	if o.Heard == nil {
		o.Heard = func() {}
	}
	wait := cmp.Or(o.ConnectWait, defaultConnectWait)
	t, err := open(ctx, u, o)
	if err != nil {
		return nil, err
	}
	c := &Conn{transport: t, heard: o.Heard, packets: make(chan Packet), closed: make(chan struct{})}
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("the server did not connect within %v", wait))
	defer cancel()
	// A read ends with its transport.
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

// connect sends CONNECT and waits for the server's. The events that
// python-socketio sends before its own are kept until then.
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
			return errors.New("the server talks but does not connect")
		}
	}
}

// Packets returns the events and acks in the order in which they came. It is
// closed when the session has ended; Err tells why. A broken packet is handed
// out as Broken and does not end the session.
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

// Close tells the server that the client leaves, ends the session and returns
// when nothing of it is left, which is within a second.
func (c *Conn) Close() {
	close(c.closed)
	c.transport.close("41")
	c.running.Wait()
}

// receive hands out packets until the session ends.
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

// deliver reports whether somebody took the packet.
func (c *Conn) deliver(p Packet) bool {
	select {
	case c.packets <- p:
		return true
	case <-c.closed:
		return false
	}
}

// next reads the next packet for "/" and does Engine.IO's part in between.
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
