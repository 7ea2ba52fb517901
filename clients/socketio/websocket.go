package socketio

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// readTimeout is how long nothing may be received, and pingInterval the time between
	// pings. WebSocket pings detect a vanished server much sooner than Engine.IO's
	// heartbeat, which the server sends every 25 seconds.
	readTimeout  = 10 * time.Second
	pingInterval = 3 * time.Second
	// wsWriteTimeout is how long a write may block. A write blocks only if the kernel's
	// buffer is full, because the server has not read for long.
	wsWriteTimeout = 500 * time.Millisecond
	// maxRedirects is how many redirects a handshake follows.
	maxRedirects = 5
)

// webSocket is a session over WebSocket.
type webSocket struct {
	ws      *websocket.Conn
	writing sync.Mutex
	closed  chan struct{}
	running sync.WaitGroup
}

// openWebSocket opens a session.
func openWebSocket(ctx context.Context, u *url.URL, heard func()) (*webSocket, error) {
	unwatch := func() bool { return true }
	var bounded *boundedConn
	dialer := websocket.Dialer{
		Proxy: http.ProxyFromEnvironment,
		// A read does not depend on a context, but ends when its connection is closed.
		NetDialContext: func(dialing context.Context, network, addr string) (net.Conn, error) {
			unwatch() // the connection that answered with a redirect
			c, err := dial(dialing, network, addr)
			if err != nil {
				return nil, err
			}
			c.SetDeadline(time.Now().Add(handshakeTimeout))
			unwatch = context.AfterFunc(ctx, func() { c.Close() })
			bounded = &boundedConn{Conn: c, left: maxHandshake}
			return bounded, nil
		},
	}
	ws, err := follow(ctx, &dialer, over(u, "websocket", ""))
	if err != nil {
		unwatch()
		return nil, cmp.Or(context.Cause(ctx), err)
	}
	bounded.left = math.MaxInt // no other goroutine reads yet
	ws.SetReadLimit(maxPacket)
	ws.SetReadDeadline(time.Now().Add(handshakeTimeout))
	_, packet, err := ws.ReadMessage()
	if err == nil {
		_, err = parseHandshake(string(packet))
	}
	if !unwatch() {
		err = context.Cause(ctx)
	}
	if err != nil {
		ws.Close()
		return nil, err
	}
	w := &webSocket{ws: ws, closed: make(chan struct{})}
	ws.SetPongHandler(func(string) error {
		heard()
		return w.alive()
	})
	w.running.Go(w.ping)
	return w, nil
}

// boundedConn is a connection from which a limited number of bytes can be read, so that an
// endless response does not use memory.
type boundedConn struct {
	net.Conn
	left int
}

func (c *boundedConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("the server's answer to the handshake is longer than %d bytes", maxHandshake)
	}
	n, err := c.Conn.Read(b)
	if c.left < math.MaxInt {
		c.left -= n
	}
	return n, err
}

// follow dials u and follows redirects.
func follow(ctx context.Context, dialer *websocket.Dialer, u *url.URL) (*websocket.Conn, error) {
	for range maxRedirects {
		target := *u
		target.User = nil
		target.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
		ws, response, err := dialer.DialContext(ctx, target.String(), authorization(u))
		if err == nil {
			return ws, nil
		}
		if response == nil {
			return nil, proxyError(u, err)
		}
		to, redirect := response.Location()
		if redirect != nil || response.StatusCode/100 != 3 {
			return nil, fmt.Errorf("%w to the request for a WebSocket", statusError(u, response))
		}
		if to.Scheme != "http" && to.Scheme != "https" {
			return nil, fmt.Errorf("the server redirects to %.100q", to.Redacted())
		}
		inherit(to, u)
		u = to
	}
	return nil, fmt.Errorf("the server redirects more than %d times", maxRedirects)
}

func (w *webSocket) alive() error { return w.ws.SetReadDeadline(time.Now().Add(readTimeout)) }

func (w *webSocket) read() (string, error) {
	w.alive()
	_, data, err := w.ws.ReadMessage()
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		err = fmt.Errorf("nothing received from the server for %v", readTimeout)
	}
	return string(data), err
}

func (w *webSocket) write(packet string) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.ws.SetWriteDeadline(time.Now().Add(wsWriteTimeout))
	return w.ws.WriteMessage(websocket.TextMessage, []byte(packet))
}

// ping sends pings until the session is closed.
func (w *webSocket) ping() {
	every := time.NewTicker(pingInterval)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			w.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(wsWriteTimeout))
		case <-w.closed:
			return
		}
	}
}

func (w *webSocket) close(last string) {
	// Bounds the wait for a write that blocks.
	stuck := time.AfterFunc(closeTimeout, func() { w.ws.Close() })
	defer stuck.Stop()
	w.write(last)
	w.ws.WriteControl(websocket.CloseMessage,
		websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(closeTimeout))
	close(w.closed)
	w.ws.Close()
	w.running.Wait()
}
