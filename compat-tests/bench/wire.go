package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"counting/compat-tests/wire"
)

// timeout is how long any operation may take.
const timeout = 30 * time.Second

// A transport carries Engine.IO packets. Flush sends the queued packets. receive waits for a
// packet, and calls take with each that was received. The packet is valid until take
// returns.
//
// The transports are minimal, so that the load does not limit the measurement.
type transport interface {
	Queue(packet []byte)
	Flush() error
	receive(take func(packet []byte) error) error
	// ready reports whether receive would not block.
	ready() bool
	Close() error
}

// webSocket is a transport over WebSocket.
type webSocket struct{ *wire.Conn }

// openWebSocket opens a session.
func openWebSocket(addr string) (*webSocket, error) {
	c, err := upgrade(addr, "/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		return nil, err
	}
	return c, c.receive(func([]byte) error { return nil })
}

// upgrade opens a WebSocket.
func upgrade(addr, path string) (*webSocket, error) {
	c, err := wire.Dial(addr, path, 4096, timeout)
	if err != nil {
		return nil, err
	}
	return &webSocket{c}, nil
}

func (c *webSocket) receive(take func(packet []byte) error) error {
	for {
		opcode, packet, err := c.Next()
		if err != nil {
			return err
		}
		if opcode != wire.Text && opcode != wire.Ping || len(packet) > 4000 {
			return fmt.Errorf("frame of opcode %d and length %d", opcode, len(packet))
		}
		if opcode == wire.Text {
			if err := take(packet); err != nil {
				return err
			}
		}
		if c.Buffered() == 0 {
			return nil
		}
	}
}

func (c *webSocket) ready() bool { return c.Ready(timeout) }

// polling is a transport by polling. It always has one pending poll, and posts on another
// connection.
type polling struct {
	addr, sid, path string
	get, post       request
	polls           bool
	queued          [][]byte
}

// mostPackets is how many packets python-engineio accepts in one payload.
const mostPackets = 16

// openPolling opens a session. The query, which is empty or begins with &, is added to all
// its requests.
func openPolling(addr, query string) (*polling, error) {
	p := &polling{addr: addr, path: "/socket.io/?EIO=4&transport=polling" + query}
	p.get.addr, p.post.addr = addr, addr
	err := p.receive(func(packet []byte) error {
		_, after, _ := bytes.Cut(packet, []byte(`"sid":"`))
		before, _, _ := bytes.Cut(after, []byte(`"`))
		p.sid = string(before)
		return nil
	})
	p.path += "&sid=" + p.sid
	return p, err
}

func (p *polling) Close() error {
	p.get.close()
	p.post.close()
	return nil
}

func (p *polling) Queue(packet []byte) { p.queued = append(p.queued, bytes.Clone(packet)) }

func (p *polling) Flush() error {
	if !p.polls {
		if err := p.get.send("GET", p.path, nil); err != nil {
			return err
		}
		p.polls = true
	}
	for len(p.queued) > 0 {
		n := min(len(p.queued), mostPackets)
		if err := p.post.send("POST", p.path, bytes.Join(p.queued[:n], []byte{0x1e})); err != nil {
			return err
		}
		p.queued = p.queued[n:]
		if answer, err := p.post.answer(); err != nil || !strings.EqualFold(string(answer), "ok") {
			return fmt.Errorf("a post is answered %q, %v", answer, err)
		}
	}
	p.queued = nil
	return nil
}

func (p *polling) receive(take func(packet []byte) error) error {
	if !p.polls {
		if err := p.get.send("GET", p.path, nil); err != nil {
			return err
		}
	}
	p.polls = false
	body, err := p.get.answer()
	if err != nil {
		return err
	}
	for packet := range bytes.SplitSeq(body, []byte{0x1e}) {
		if err := take(packet); err != nil {
			return err
		}
	}
	return nil
}

func (p *polling) ready() bool {
	if !p.polls {
		return false
	}
	p.get.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	defer p.get.conn.SetReadDeadline(time.Now().Add(timeout))
	_, err := p.get.r.Peek(1)
	return err == nil
}

// request sends HTTP requests one after the other, on one connection if the server keeps it
// open.
type request struct {
	addr string
	conn net.Conn
	r    *bufio.Reader
	sent time.Time
	out  []byte
	body bytes.Buffer
}

// mostIdle is less than the 5 s after which Node.js closes an idle connection.
const mostIdle = 3 * time.Second

func (q *request) close() {
	if q.conn != nil {
		q.conn.Close()
		q.conn = nil
	}
}

func (q *request) send(method, path string, body []byte) error {
	q.out = fmt.Appendf(q.out[:0], "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, q.addr)
	if body != nil {
		q.out = fmt.Appendf(q.out, "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %d\r\n", len(body))
	}
	q.out = append(append(q.out, "\r\n"...), body...)
	if time.Since(q.sent) > mostIdle {
		q.close()
	}
	q.sent = time.Now()
	if q.conn == nil {
		conn, err := net.Dial("tcp", q.addr)
		if err != nil {
			return err
		}
		q.conn, q.r = conn, bufio.NewReader(conn)
	}
	q.conn.SetDeadline(time.Now().Add(timeout))
	_, err := q.conn.Write(q.out)
	return err
}

func (q *request) answer() ([]byte, error) {
	response, err := http.ReadResponse(q.r, nil)
	if err != nil {
		return nil, err
	}
	q.body.Reset()
	_, err = io.Copy(&q.body, response.Body)
	response.Body.Close()
	if response.Close {
		q.close()
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", response.Status, q.body.Bytes())
	}
	return q.body.Bytes(), err
}
