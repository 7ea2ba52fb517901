package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A proxy passes bytes on between clients and one server, unchanged, and keeps
// a copy with the moment at which each chunk came. It does not look into them
// before it is over: nobody waits for the recording.
type proxy struct {
	target string // host:port
	start  time.Time

	mu    sync.Mutex
	chunk int // counts the chunks of all connections
	calls []*call
	conns map[net.Conn]bool
	over  bool

	relays sync.WaitGroup
}

// A call is one TCP connection of a client, with what passed on it.
type call struct {
	up, down tape // from the client, from the server
}

// A tape is what one side of a connection sent.
type tape struct {
	chunks []chunk
	// hungUp is when that side closed the connection, if it was the first to.
	hungUp *moment
}

type chunk struct {
	moment
	data []byte
}

// A moment orders what passed on all connections.
type moment struct {
	order int
	at    time.Duration
}

func newProxy(target string) *proxy {
	return &proxy{target: target, start: time.Now(), conns: map[net.Conn]bool{}}
}

// serve passes on whatever comes to l until ctx is done, then ends all
// connections and returns. The calls may be read from then on.
func (p *proxy) serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer p.end()
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

// end closes what is still open; that nobody hung up by himself is remembered.
func (p *proxy) end() {
	p.mu.Lock()
	p.over = true
	for conn := range p.conns {
		conn.Close()
	}
	p.mu.Unlock()
	p.relays.Wait()
}

func (p *proxy) connect(ctx context.Context, client net.Conn) {
	defer client.Close()
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.target)
	if err != nil {
		return // the client sees a connection that closes, as a dead server's would
	}
	defer server.Close()
	c := p.begin(client, server)
	if c == nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.relay(c, &c.up, server, client) })
	both.Go(func() { p.relay(c, &c.down, client, server) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

func (p *proxy) begin(client, server net.Conn) *call {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return nil
	}
	c := &call{}
	p.calls = append(p.calls, c)
	p.conns[client], p.conns[server] = true, true
	return c
}

// relay copies until one side is gone. A side that only stops sending is
// passed on as such.
func (p *proxy) relay(c *call, t *tape, to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			p.keep(t, buf[:n])
			if _, err := to.Write(buf[:n]); err != nil {
				from.Close() // the other relay knows that to is gone
				return
			}
		}
		if err != nil {
			p.hangUp(c, t)
			if !errors.Is(err, io.EOF) || closeWrite(to) != nil {
				to.Close()
			}
			return
		}
	}
}

func closeWrite(conn net.Conn) error {
	if tcp, ok := conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return errors.New("no half of it can be closed")
}

func (p *proxy) keep(t *tape, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t.chunks = append(t.chunks, chunk{p.now(), bytes.Clone(data)})
}

func (p *proxy) hangUp(c *call, t *tape) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over && c.up.hungUp == nil && c.down.hungUp == nil {
		now := p.now()
		t.hungUp = &now
	}
}

// now is the next moment. The caller holds the lock.
func (p *proxy) now() moment {
	p.chunk++
	return moment{p.chunk, time.Since(p.start)}
}

// A player reads a tape and knows the moment of what it read last.
type player struct {
	tape *tape
	next int // chunk
	rest []byte
	moment
}

func (t *tape) play() *player { return &player{tape: t} }

// Read never reads beyond one chunk, so that a buffer on top of it is not
// ahead of what it hands out.
func (p *player) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if p.next == len(p.tape.chunks) {
			return 0, io.EOF
		}
		c := p.tape.chunks[p.next]
		p.next++
		p.rest, p.moment = c.data, c.moment
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
