package main

import (
	"container/list"
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"counting/server/clientaddr"
	"counting/server/engineio"
	"counting/server/metrics"
)

// A peer that vanishes without closing its connection is detected within 10 s: after
// 3 s of silence the kernel sends a probe every 2 s, and it closes the connection when
// neither a probe nor data was acknowledged for vanishedAfter. On systems without such
// a timeout for data, the heartbeat detects it.
const (
	vanishedAfter = 9 * time.Second
	probeAfter    = 3 * time.Second
	probeEvery    = 2 * time.Second
	probes        = 3
)

// reservedFiles is how many descriptors are reserved for uses other than connections
// and games. Half of the rest are for the public listener, since a connection may be
// forwarded over a second one.
const reservedFiles = 32

// listenOptions configure listen.
type listenOptions struct {
	// Limits on open connections, in total and from one address as defined by
	// clientaddr.Key; 0 means no limit. When one is reached, the connection that has
	// been idle for the longest time is closed for a new one; if none is idle, the
	// new one is closed.
	connections, perAddress int
	// games is how many games may be open, each with a file, or 0 for no limit. At most a
	// quarter of the files that the process may open is reserved for them.
	games int
	// perClient, for a listener of forwarded requests, is the limit on those that are
	// being served for one address: see admitClient; 0 means no limit.
	perClient int
	// trusted are not subject to the limits per address.
	trusted clientaddr.Trusted
	// headerLines is how many lines the header of a request may have.
	headerLines int
	onLimit     func(engineio.Limit)
	log         *slog.Logger
}

// listener accepts TCP connections, limits their number, and can close all that are
// open, including hijacked ones, which http.Server does not track.
type listener struct {
	net.Listener
	options listenOptions

	mu       sync.Mutex
	open     map[*conn]struct{}
	closed   bool
	idle     list.List // of *conn that wait for a request, the longest idle in front
	address  map[netip.Addr]*addressConns
	failed   time.Time // when a failure to accept was last logged
	failures int       // since then
}

type addressConns struct {
	open int
	idle list.List // of *conn
}

func listen(ctx context.Context, addr string, o listenOptions) (*listener, error) {
	config := net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: probeAfter, Interval: probeEvery, Count: probes},
		Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			controlErr := c.Control(func(fd uintptr) { // accepted connections inherit it
				err = setUserTimeout(fd, vanishedAfter)
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
	if files := maxFiles(); files > 0 {
		games := files / 4
		if o.games > 0 {
			games = min(games, o.games)
		}
		if most := max(1, (files-reservedFiles-games)/2); o.connections == 0 || most < o.connections {
			o.log.Warn("the process may open fewer files than -max-connections allows", "files", files, "connections", most)
			o.connections = most
		}
	}
	return &listener{Listener: l, options: o, open: make(map[*conn]struct{}), address: make(map[netip.Addr]*addressConns)}, nil
}

// serve serves HTTP until the listener is closed.
func (l *listener) serve(handler http.Handler, maxHeaderBytes int, errorLog *log.Logger) error {
	server := &http.Server{
		Handler:           limitLines(l.options.headerLines, handler),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         l.connState,
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ErrorLog:          errorLog,
	}
	return server.Serve(l)
}

// Accept returns the next connection. After a temporary failure, such as a lack of
// descriptors, it closes idle connections and tries again.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			if c := l.admit(c); c != nil {
				return c, nil
			}
			continue
		}
		l.mu.Lock()
		closed := l.closed
		l.mu.Unlock()
		if closed || errors.Is(err, net.ErrClosed) || !isTemporaryAccept(err) {
			return nil, err
		}
		l.acceptFailed(err)
	}
}

// isTemporaryAccept reports whether accepting may succeed later.
func isTemporaryAccept(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) ||
		errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EINTR)
}

// acceptRetry is the wait after a failure to accept. At most one failure in each
// acceptLogEvery is logged.
const (
	acceptRetry    = 10 * time.Millisecond
	acceptLogEvery = 10 * time.Second
)

func (l *listener) acceptFailed(err error) {
	l.mu.Lock()
	for range 1 + l.idle.Len()/10 {
		l.evict(&l.idle)
	}
	l.failures++
	now, failures := time.Now(), l.failures
	report := now.Sub(l.failed) >= acceptLogEvery
	if report {
		l.failed, l.failures = now, 0
	}
	l.mu.Unlock()
	if report {
		l.options.log.Warn("Cannot accept a connection: "+err.Error()+"; idle connections are closed", "times", failures)
	}
	time.Sleep(acceptRetry)
}

// admit returns the connection, or closes it and returns nil.
func (l *listener) admit(c net.Conn) net.Conn {
	peer := clientaddr.Parse(c.RemoteAddr().String())
	tracked := &conn{Conn: c, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := clientaddr.Key(peer)
	if l.options.perClient > 0 {
		key = netip.Addr{}
	}
	of := l.address[key]
	var reached engineio.Limit
	switch {
	case l.closed:
		c.Close()
		return nil
	case of != nil && l.options.perAddress > 0 && of.open >= l.options.perAddress && !l.options.trusted.Contains(peer):
		if !l.evict(&of.idle) {
			reached = metrics.LimitConnectionsPerAddress
		}
	case l.options.connections > 0 && len(l.open) >= l.options.connections:
		if !l.evict(&l.idle) {
			reached = metrics.LimitConnections
		}
	}
	if reached != "" {
		l.options.onLimit(reached)
		c.Close()
		return nil
	}
	tracked.join(key)
	l.open[tracked] = struct{}{}
	tracked.setIdle(true)
	return tracked
}

// admitClient counts the connection of a forwarded request for the client's address until
// the request is served, or the connection closed if it is hijacked. It reports whether the
// limit per client allows that. Connections without such a request have the zero address.
func (l *listener) admitClient(r *http.Request, client netip.Addr) bool {
	c, ok := r.Context().Value(connKey{}).(*conn)
	if !ok || l.options.perClient == 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := clientaddr.Key(client)
	if of := l.address[key]; of != nil && of.open >= l.options.perClient && !l.options.trusted.Contains(client) {
		l.options.onLimit(metrics.LimitConnectionsPerAddress)
		return false
	}
	if !c.closed {
		c.leave()
		c.join(key)
	}
	return true
}

// connKey is the key of the connection in a request's context.
type connKey struct{}

// join counts the connection for an address. The caller holds listener.mu.
func (c *conn) join(key netip.Addr) {
	of := c.listener.address[key]
	if of == nil {
		of = new(addressConns)
		c.listener.address[key] = of
	}
	of.open++
	c.key = key
}

// leave undoes join. The caller holds listener.mu.
func (c *conn) leave() {
	if of := c.listener.address[c.key]; of.open == 1 {
		delete(c.listener.address, c.key)
	} else {
		of.open--
	}
}

// evict closes the connection that has been idle for the longest time, if there is
// one. The caller holds l.mu.
func (l *listener) evict(idle *list.List) bool {
	e := idle.Front()
	if e == nil {
		return false
	}
	e.Value.(*conn).close()
	return true
}

// connState implements http.Server.ConnState: a connection is idle until it has sent a
// request, and again after that is answered.
func (l *listener) connState(c net.Conn, state http.ConnState) {
	tracked, ok := c.(*conn)
	if !ok || state == http.StateNew || state == http.StateClosed {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if state == http.StateIdle && l.options.perClient > 0 && !tracked.closed {
		tracked.leave()
		tracked.join(netip.Addr{})
	}
	tracked.setIdle(state == http.StateIdle)
	if state == http.StateIdle { // nothing is being read
		tracked.header = headerLines{}
	}
	tracked.state.Store(int32(state))
}

// Connections returns how many connections are open.
func (l *listener) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// CloseConns closes every connection that was accepted.
func (l *listener) CloseConns() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.open {
		c.close()
	}
}

type conn struct {
	net.Conn
	listener *listener
	state    atomic.Int32 // the http.ConnState, except for StateClosed
	header   headerLines  // only one goroutine at a time reads

	// Guarded by listener.mu.
	key                 netip.Addr // for which it is counted
	idle, idleOfAddress *list.Element
	closed              bool
}

// Read reads from the connection. It returns an error if a header has too many lines.
func (c *conn) Read(b []byte) (n int, err error) {
	state := http.ConnState(c.state.Load())
	inHeader := state == http.StateNew || state == http.StateIdle
	if inHeader && c.header.lines > c.listener.options.headerLines {
		return 0, errHeaderLines
	}
	if state != http.StateHijacked && len(b) <= bufioSize {
		b = b[:min(len(b), readAhead)]
	}
	n, err = c.Conn.Read(b)
	if inHeader {
		c.header.count(b[:n])
	}
	return n, err
}

// SyscallConn allows packages to write without blocking.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if raw, ok := c.Conn.(syscall.Conn); ok {
		return raw.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

func (c *conn) Close() error {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	return c.close()
}

// setIdle records whether the connection is idle. The caller holds listener.mu.
func (c *conn) setIdle(idle bool) {
	l := c.listener
	switch of := l.address[c.key]; {
	case c.closed || idle == (c.idle != nil):
	case idle:
		c.idle, c.idleOfAddress = l.idle.PushBack(c), of.idle.PushBack(c)
	default:
		l.idle.Remove(c.idle)
		of.idle.Remove(c.idleOfAddress)
		c.idle, c.idleOfAddress = nil, nil
	}
}

// close closes the connection. The caller holds listener.mu.
func (c *conn) close() error {
	if !c.closed {
		c.setIdle(false)
		c.closed = true
		l := c.listener
		delete(l.open, c)
		c.leave()
	}
	return c.Conn.Close()
}
