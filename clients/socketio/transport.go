package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// A transport transfers the Engine.IO packets of one session. Only one goroutine may
// read at a time; write may be called concurrently.
type transport interface {
	// read returns the next packet.
	read() (packet string, err error)
	// write sends a packet. It blocks for a bounded time.
	write(packet string) error
	// close sends a last packet, ends the session and makes read return. It takes at
	// most twice closeTimeout, and stops all goroutines.
	close(last string)
}

const (
	// handshakeTimeout is how long opening a session over one transport may take. It
	// also detects a proxy that accepts a WebSocket and does not forward it.
	handshakeTimeout = 5 * time.Second
	// dialTimeout is how long connecting to an address may take. While a pod is replaced,
	// packets to it may be dropped, and retransmissions of the same connection, too; a
	// new connection reaches the new pod. It is long enough for a lost SYN to be
	// retransmitted, after 1 s.
	dialTimeout = 2 * time.Second
	// closeTimeout is how long sending the last packet may take.
	closeTimeout = 400 * time.Millisecond
	// maxHandshake is far more than the response to a handshake.
	maxHandshake = 64 << 10
	// maxPacket is far more than any packet of a game, and little memory.
	maxPacket = 1 << 20
)

// errFinal wraps an error that would also occur with the other transport.
type errFinal struct{ error }

func (e errFinal) Unwrap() error { return e.error }

// open opens a session over WebSocket, or over polling if the server or a proxy refuses
// WebSockets or does not forward them.
func open(ctx context.Context, u *url.URL, o Options) (transport, error) {
	ws, err := openWebSocket(ctx, u, o.Heard)
	if err == nil {
		return ws, nil
	}
	if ctx.Err() != nil || errors.As(err, new(errFinal)) || broke(err) && o.Failed%3 != 2 {
		return nil, err
	}
	return openPolling(ctx, u)
}

// broke reports whether an error is that of a connection that broke or timed out, and
// not an answer.
func broke(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, new(net.Error))
}

// handshake is Engine.IO's open packet.
type handshake struct {
	Sid                       string
	PingInterval, PingTimeout int64 // milliseconds
}

// https://github.com/socketio/engine.io-protocol#handshake
func parseHandshake(packet string) (h handshake, err error) {
	if packet == "" || packet[0] != '0' || json.Unmarshal([]byte(packet[1:]), &h) != nil || h.Sid == "" {
		return h, errFinal{errors.New("the server does not speak Engine.IO 4")}
	}
	return h, nil
}

// pollTimeout returns how long the server may take to answer a poll.
func (h handshake) pollTimeout() time.Duration {
	const least, most = time.Second, 2 * time.Minute
	return min(max(time.Duration(h.PingInterval+h.PingTimeout)*time.Millisecond, least), most)
}

// dial opens a connection. The timeout does not include the name lookup, which always
// takes 5 s if the first name server is down. The kernel detects a peer that vanishes
// within about 10 s.
func dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, errFinal{err}
	}
	dialer := net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 3 * time.Second, Interval: 2 * time.Second, Count: 3},
	}
	for _, ip := range ips {
		if c, err = dialer.DialContext(ctx, network, net.JoinHostPort(ip, port)); err == nil {
			return c, nil
		}
	}
	return nil, errFinal{err}
}

// inherit copies the user of a URL to the target of its redirect, if that is on the same
// host and not less secure.
func inherit(to, from *url.URL) {
	if to.User == nil && to.Hostname() == from.Hostname() && (to.Scheme == from.Scheme || to.Scheme == "https") {
		to.User = from.User
	}
}

// authorization returns the header for the user of a URL, or nil if it has none.
func authorization(u *url.URL) http.Header {
	if u.User == nil {
		return nil
	}
	password, _ := u.User.Password()
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(u.User.Username(), password)
	return r.Header
}
