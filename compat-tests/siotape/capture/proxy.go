// Package capture is a proxy between clients and a server that forwards all bytes
// unchanged and records them.
package capture

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"counting/compat-tests/siotape/tape"
)

// Options are the options of a Proxy.
type Options struct {
	// Target is the host:port of the server. If TLS is not nil, it is used to connect.
	Target string
	TLS    *tls.Config
	// Host and Header, if set, replace what clients send.
	Host   string
	Header http.Header
	// Redact, if not nil, removes secrets from the recording.
	Redact *Redactor
	// Name is the host of the target as clients know it, for the header.
	Path string
}

// A Proxy forwards bytes between clients and one server, and reads a copy of them.
// Clients wait for that reading only if more than maxBehind bytes are not read.
type Proxy struct {
	Options
	start time.Time
	asm   *assembler

	mu    sync.Mutex // guards what follows
	last  time.Duration
	conns map[net.Conn]bool
	calls map[*call]bool
	count int
	over  bool

	relays, readers sync.WaitGroup
}

// A call is one TCP connection of a client.
type call struct {
	*Proxy
	number   int
	up, down *stream // from the client, from the server
}

// NewProxy returns a proxy that records into w.
func NewProxy(o Options, w *tape.Writer) *Proxy {
	p := &Proxy{Options: o, start: time.Now(), conns: map[net.Conn]bool{}, calls: map[*call]bool{}}
	p.asm = newAssembler(p, w)
	return p
}

// Serve forwards connections to l until ctx is done, and then closes all of them. When it
// returns, everything has been recorded.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer p.end()
	pieces, stopPieces := context.WithCancel(ctx)
	defer stopPieces()
	p.readers.Go(func() { p.asm.writePieces(pieces) })
	for {
		client, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		p.relays.Go(func() { p.connect(ctx, client) })
	}
}

// Counts returns how much has been recorded so far.
func (p *Proxy) Counts() tape.Counts { return p.asm.total() }

// Misplaced returns the paths at which sessions were opened, other than Path,
// and whether one was opened at Path.
func (p *Proxy) Misplaced() (elsewhere []string, there bool) { return p.asm.misplaced() }

// end closes the open connections, without recording a close.
func (p *Proxy) end() {
	p.mu.Lock()
	p.over = true
	for conn := range p.conns {
		conn.Close()
	}
	p.mu.Unlock()
	p.relays.Wait()
	p.readers.Wait()
}

func (p *Proxy) connect(ctx context.Context, client net.Conn) {
	defer client.Close()
	dialer := &net.Dialer{}
	var server net.Conn
	var err error
	if p.TLS != nil {
		server, err = (&tls.Dialer{NetDialer: dialer, Config: p.TLS}).DialContext(ctx, "tcp", p.Target)
	} else {
		server, err = dialer.DialContext(ctx, "tcp", p.Target)
	}
	if err != nil {
		p.asm.notUnderstood(p.now(), "a client's connection: the server could not be reached: "+err.Error())
		return // the connection closes, as if the server had ended
	}
	defer server.Close()
	c := p.begin(client, server)
	if c == nil {
		return
	}
	p.readers.Go(func() {
		c.read()
		p.mu.Lock()
		delete(p.calls, c)
		p.mu.Unlock()
	})
	var from io.Reader = client
	if p.Host != "" || len(p.Header) > 0 {
		from = newRewriter(client, p.Host, p.Header)
	}
	var both sync.WaitGroup
	both.Go(func() { p.relay(c, c.up, server, client, from) })
	both.Go(func() { p.relay(c, c.down, client, server, server) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

func (p *Proxy) begin(client, server net.Conn) *call {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return nil
	}
	p.count++
	c := &call{Proxy: p, number: p.count, up: newStream(), down: newStream()}
	p.calls[c] = true
	p.conns[client], p.conns[server] = true, true
	return c
}

// relay copies until one side closes the connection. If a side only closes its write
// half, relay closes that half on the other connection.
func (p *Proxy) relay(c *call, s *stream, to, conn net.Conn, from io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			at := p.now()
			s.announce(at)
			_, failed := to.Write(buf[:n])
			s.put(at, buf[:n])
			if failed != nil {
				conn.Close() // so that the other relay ends too
				s.end(nil)
				return
			}
		}
		if err != nil {
			s.end(p.hangUp(c))
			if !errors.Is(err, io.EOF) || closeWrite(to) != nil {
				to.Close()
			}
			return
		}
	}
}

func closeWrite(conn net.Conn) error {
	switch c := conn.(type) {
	case *net.TCPConn:
		return c.CloseWrite()
	case *tls.Conn:
		return c.CloseWrite()
	}
	return errors.New("the connection has no write half to close")
}

// hangUp returns when a side closed the connection, if it was the first of the two.
func (p *Proxy) hangUp(c *call) *time.Duration {
	p.mu.Lock()
	over := p.over
	p.mu.Unlock()
	if over || c.up.hasHungUp() || c.down.hasHungUp() {
		return nil
	}
	now := p.now()
	return &now
}

// now returns the time since the start, which is at least a microsecond later than the
// result of the previous call, so that it orders what is recorded.
func (p *Proxy) now() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = max(time.Since(p.start).Truncate(time.Microsecond), p.last+time.Microsecond)
	return p.last
}

// awaitOthers waits until what all other connections received before a moment has been
// read, so that the sessions are known.
func (p *Proxy) awaitOthers(at time.Duration, but *call) {
	p.await(at, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for c := range p.calls {
			if c != but && (c.up.isBehind(at) || c.down.isBehind(at)) {
				return false
			}
		}
		return true
	})
}

// await waits until what was received before a moment has been read. If a very busy
// machine takes more than 10 s for that, the recording reports it.
func (p *Proxy) await(at time.Duration, isRead func() bool) {
	const enough = 10 * time.Second
	for deadline := time.Now().Add(enough); !isRead(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			p.asm.notUnderstood(at, "what passed before this was not read within 10 s; the order of the lines around it is not certain")
			return
		}
	}
}
