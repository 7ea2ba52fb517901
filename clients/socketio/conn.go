// Package socketio is the clients' edge to Socket.IO: one session with a
// server, in namespace "/", over WebSocket, and nothing else.
//
// It is not a Socket.IO library but the part that a client needs which counts
// for weeks and is cut off often. The one for Go that there is
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
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"counting/server/protocol"
)

const (
	// silence is how long a connection may be without a sign of life, and
	// pingEvery how often one is asked for. WebSocket pings find a vanished
	// server much sooner than Engine.IO's heartbeat does, which is the server's
	// to send and which it sends every 25 seconds.
	silence   = 10 * time.Second
	pingEvery = 3 * time.Second
	// writeWait is how long a write may block. One that blocks at all has
	// filled the kernel's buffer, which nobody has read from for long.
	writeWait = 500 * time.Millisecond
	// maxPacket is far above what a game says and far below what would hurt.
	maxPacket = 1 << 20
	// maxEarly is far more than the two events that come before CONNECT.
	maxEarly = 100
)

// ParseURL returns the address of the Socket.IO server at rawURL, which is one
// for a browser ("http://localhost:5000"). A query in it is kept.
func ParseURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "http", "ws":
		u.Scheme = "ws"
	case "https", "wss":
		u.Scheme = "wss"
	default:
		return nil, errors.New("it does not begin with http:// or https://")
	}
	if u.Hostname() == "" {
		return nil, errors.New("it names no host")
	}
	if u.User != nil {
		return nil, errors.New("it holds a user name, which a WebSocket's may not")
	}
	if u.Port() != "" {
		if _, err := net.LookupPort("tcp", u.Port()); err != nil {
			return nil, fmt.Errorf("there is no port %s", u.Port())
		}
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = protocol.Path
	}
	query := u.Query()
	query.Set("EIO", "4")
	query.Set("transport", "websocket")
	u.RawQuery, u.Fragment = query.Encode(), ""
	return u, nil
}

// Conn is a session with a server. One goroutine may use it at a time, and has
// to close it once in the end.
type Conn struct {
	ws      *websocket.Conn
	writing sync.Mutex
	early   []Packet // what came before CONNECT
	packets chan Packet
	err     error         // why packets was closed; set before
	closed  chan struct{} // closed by Close
	running sync.WaitGroup
}

// Dial opens a session. It returns when the server's CONNECT packet is there,
// or with an error when the server refuses or ctx ends first; once it has
// returned, ctx has no more to say.
func Dial(ctx context.Context, u *url.URL) (*Conn, error) {
	unwatch := func() bool { return true }
	dialer := websocket.Dialer{
		Proxy: http.ProxyFromEnvironment,
		// A read minds no context, but it ends when its socket is closed.
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			if err == nil {
				unwatch = context.AfterFunc(ctx, func() { c.Close() })
			}
			return c, err
		},
	}
	ws, response, err := dialer.DialContext(ctx, u.String(), nil)
	if err != nil {
		unwatch()
		if response != nil {
			err = fmt.Errorf("the server answered %s where a WebSocket was asked for", response.Status)
		}
		return nil, cmp.Or(context.Cause(ctx), err)
	}
	ws.SetReadLimit(maxPacket)
	c := &Conn{ws: ws, packets: make(chan Packet), closed: make(chan struct{})}
	err = c.connect()
	if !unwatch() {
		err = context.Cause(ctx)
	}
	if err != nil {
		ws.Close()
		return nil, err
	}
	c.running.Go(c.receive)
	c.running.Go(c.ping)
	return c, nil
}

// dialTimeout is how long an address has to answer. While a pod is replaced,
// what is sent to it may lead nowhere, and a connection that was begun then goes
// on leading nowhere: the next one finds the new pod. It leaves time to send a
// lost SYN again, after 1 s.
const dialTimeout = 2 * time.Second

// dial opens a connection. The lookup is no part of the timeout: where the first
// name server is dead it takes 5 s, every time.
func dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	for _, ip := range ips {
		c, err = dialer.DialContext(ctx, network, net.JoinHostPort(ip, port))
		if err == nil {
			break
		}
	}
	return c, err
}

// connect does what comes before the first event: Engine.IO's open packet,
// then a CONNECT each way. The events that python-socketio sends before its
// CONNECT are kept until then.
func (c *Conn) connect() error {
	_, data, err := c.ws.ReadMessage()
	if err != nil {
		return err
	}
	var open struct{ Sid string }
	if len(data) == 0 || data[0] != '0' || json.Unmarshal(data[1:], &open) != nil {
		return errors.New("the server does not speak Engine.IO 4")
	}
	if err := c.write("40"); err != nil {
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
	return c.write(fmt.Sprintf("42%d%s", id, args))
}

// Close tells the server that the client leaves, ends the session and returns
// when nothing of it is left. It takes no longer than two writes may.
func (c *Conn) Close() {
	c.write("41")
	c.ws.WriteControl(websocket.CloseMessage,
		websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(writeWait))
	close(c.closed)
	c.ws.Close()
	c.running.Wait()
}

// receive hands out packets until the connection ends.
func (c *Conn) receive() {
	defer close(c.packets)
	alive := func(string) error { return c.ws.SetReadDeadline(time.Now().Add(silence)) }
	c.ws.SetPongHandler(alive)
	alive("")
	for _, p := range c.early {
		if !c.deliver(p) {
			return
		}
	}
	for {
		p, err := c.next()
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			err = fmt.Errorf("no sign of life from the server for %v", silence)
		}
		if err != nil {
			c.err = err
			return
		}
		alive("")
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

// ping asks for signs of life.
func (c *Conn) ping() {
	every := time.NewTicker(pingEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			c.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWait))
		case <-c.closed:
			return
		}
	}
}

// next reads the next packet for "/" and does Engine.IO's part in between.
// https://github.com/socketio/engine.io-protocol#packet-encoding
func (c *Conn) next() (Packet, error) {
	for {
		_, data, err := c.ws.ReadMessage()
		if err != nil {
			return Packet{}, err
		}
		frame := string(data)
		switch {
		case strings.HasPrefix(frame, "1"):
			return Packet{}, errors.New("the server closed the session")
		case strings.HasPrefix(frame, "2"):
			if err := c.write("3" + frame[1:]); err != nil {
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

func (c *Conn) write(frame string) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.ws.SetWriteDeadline(time.Now().Add(writeWait))
	return c.ws.WriteMessage(websocket.TextMessage, []byte(frame))
}
