// Package capture stands between clients and a server, passes everything on
// unchanged, and records what passed.
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

// Options say for which server a Proxy stands, and what it leaves out.
type Options struct {
	// Target is the server's host:port; with TLS, it is spoken to by TLS.
	Target string
	TLS    *tls.Config
	// Host and Header, if set, are sent in the place of what clients send.
	Host   string
	Header http.Header
	// Redact takes secrets out of what is recorded.
	Redact *Redactor
	// Name is the host of the target as clients know it, for the header.
	Path string
}

// A Proxy passes bytes on between clients and one server, and reads a copy of
// them: clients wait for that only if it falls behind by more than maxBehind.
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

// Serve passes on whatever comes to l until ctx is done, then ends all
// connections. When it returns, everything was recorded.
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

// Counts say what was recorded so far.
func (p *Proxy) Counts() tape.Counts { return p.asm.total() }

// Misplaced returns the paths at which sessions were opened, other than Path,
// and whether one was opened at Path.
func (p *Proxy) Misplaced() (elsewhere []string, there bool) { return p.asm.misplaced() }

// end closes what is still open: nobody has hung up then.
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
		return // the client sees a connection that closes, as a dead server's would
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

// relay copies until one side is gone. A side that only stops sending is passed
// on as such.
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
				conn.Close() // the other relay knows that to is gone
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
	return errors.New("no half of it can be closed")
}

// hangUp returns the moment at which a side has hung up, if it was the first of
// the two.
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

// now is the time since the start, a microsecond later at least than any other
// that it has returned: in a recording, it orders what happened.
func (p *Proxy) now() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = max(time.Since(p.start).Truncate(time.Microsecond), p.last+time.Microsecond)
	return p.last
}

// settle waits until what passed before a moment on all other connections was
// read, so that it is known which sessions there are.
func (p *Proxy) settle(at time.Duration, but *call) {
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

// await waits until what passed before a moment was read, which takes long only on
// a machine that has no time for it. What it was to decide is not known then.
func (p *Proxy) await(at time.Duration, isRead func() bool) {
	const enough = 10 * time.Second
	for deadline := time.Now().Add(enough); !isRead(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			p.asm.notUnderstood(at, "what passed before this was not read within 10 s; the order of what stands around it is not certain")
			return
		}
	}
}
