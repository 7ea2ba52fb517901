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

// A transport carries the Engine.IO packets of one session. One goroutine may
// read at a time, any number may write.
type transport interface {
	// read returns the next packet, without one after its last.
	read() (packet string, err error)
	// write sends a packet. It waits for a bounded time.
	write(packet string) error
	// close sends a last packet and ends the session, and read with it. It takes
	// no longer than twice closeWait, and leaves nothing running.
	close(last string)
}

const (
	// handshakeWait is how long the server may take to open a session over one
	// transport. A WebSocket that a proxy has accepted and does not carry is
	// noticed by it.
	handshakeWait = 5 * time.Second
	// dialTimeout is how long an address has to answer. While a pod is
	// replaced, what is sent to it may lead nowhere, and a connection that was
	// begun then goes on leading nowhere: the next one finds the new pod. It
	// leaves time to send a lost SYN again, after 1 s.
	dialTimeout = 2 * time.Second
	// closeWait is how long the last packet may take.
	closeWait = 400 * time.Millisecond
	// maxHandshake is far above what a server's answer to a handshake takes.
	maxHandshake = 64 << 10
	// maxPacket is far above what a game says and far below what would hurt.
	maxPacket = 1 << 20
)

// errFinal wraps an error that the other transport would meet as well.
type errFinal struct{ error }

func (e errFinal) Unwrap() error { return e.error }

// open opens a session: over WebSocket, or by polling where the server or a
// proxy before it refuses that, or does not carry it.
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

// broke tells whether an error is that of a connection that broke off or stood
// still, and not an answer.
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

// silence returns how long the server may leave a poll unanswered.
func (h handshake) silence() time.Duration {
	const least, most = time.Second, 2 * time.Minute
	return min(max(time.Duration(h.PingInterval+h.PingTimeout)*time.Millisecond, least), most)
}

// dial opens a connection. The lookup is not part of the timeout: where the
// first name server is dead it takes 5 s, every time. A peer that vanishes is
// noticed by the kernel after some 10 s.
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

// inherit makes a redirect's target keep the user of where it came from, if it
// is on the same host and not less secret.
func inherit(to, from *url.URL) {
	if to.User == nil && to.Hostname() == from.Hostname() && (to.Scheme == from.Scheme || to.Scheme == "https") {
		to.User = from.User
	}
}

// authorization returns the header for the user of a URL, if it names one.
func authorization(u *url.URL) http.Header {
	if u.User == nil {
		return nil
	}
	password, _ := u.User.Password()
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(u.User.Username(), password)
	return r.Header
}
