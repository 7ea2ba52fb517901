package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// patience is how long anything may take.
const patience = 30 * time.Second

// A transport carries Engine.IO packets. What is queued goes out with flush;
// receive calls take with each packet that there is, at least one. The packet
// is take's until it returns.
//
// The transports do as little as the protocol allows, so that the servers are
// measured and not the load: what goes out at the same time goes out in one
// write, and nothing is allocated for a packet.
type transport interface {
	queue(packet []byte)
	flush() error
	receive(take func(packet []byte) error) error
	// ready tells whether receive would not have to wait.
	ready() bool
	Close() error
}

// webSocket is a client's connection. Its frames are masked with zero, which
// leaves the text as it is.
type webSocket struct {
	net.Conn
	r   *bufio.Reader
	out []byte
}

// dialWebSocket opens a session.
func dialWebSocket(addr string) (*webSocket, error) {
	c, err := upgrade(addr, "/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		return nil, err
	}
	return c, c.receive(func([]byte) error { return nil })
}

// upgrade opens a WebSocket.
func upgrade(addr, path string) (*webSocket, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", path, addr)
	r := bufio.NewReaderSize(conn, 4096)
	response, err := http.ReadResponse(r, nil)
	if err == nil && response.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("no WebSocket: %s", response.Status)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &webSocket{conn, r, nil}, nil
}

func (c *webSocket) queue(packet []byte) {
	if len(packet) > 125 {
		panic("a packet longer than this client writes")
	}
	c.out = append(c.out, 0x81, 0x80|byte(len(packet)), 0, 0, 0, 0)
	c.out = append(c.out, packet...)
}

func (c *webSocket) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.Write(c.out)
	c.out = c.out[:0]
	return err
}

func (c *webSocket) receive(take func(packet []byte) error) error {
	for {
		head, err := c.r.Peek(2)
		if err != nil {
			return err
		}
		opcode, length := head[0]&0x0f, int(head[1])
		skip := 2
		if length == 126 {
			if head, err = c.r.Peek(4); err != nil {
				return err
			}
			length, skip = int(binary.BigEndian.Uint16(head[2:])), 4
		}
		if opcode != 1 && opcode != 9 || length > 4000 {
			return fmt.Errorf("frame of opcode %d and length %d", opcode, length)
		}
		frame, err := c.r.Peek(skip + length)
		if err != nil {
			return err
		}
		if opcode == 1 {
			if err := take(frame[skip:]); err != nil {
				return err
			}
		}
		c.r.Discard(skip + length)
		if c.r.Buffered() == 0 {
			return nil
		}
	}
}

func (c *webSocket) ready() bool {
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	defer c.SetReadDeadline(time.Now().Add(patience))
	_, err := c.r.Peek(1)
	return err == nil
}

// polling is a client that polls: it has one poll out at all times, and posts
// what it sends on a connection of its own.
type polling struct {
	addr, sid, path string
	get, post       request
	polls           bool
	queued          [][]byte
}

// mostPackets is what python-engineio takes in one payload.
const mostPackets = 16

// openPolling opens a session. The query, if there is one, begins with an &, and
// is on all its requests.
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

func (p *polling) queue(packet []byte) { p.queued = append(p.queued, bytes.Clone(packet)) }

func (p *polling) flush() error {
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
	defer p.get.conn.SetReadDeadline(time.Now().Add(patience))
	_, err := p.get.r.Peek(1)
	return err == nil
}

// request is one HTTP request after the other, on one connection as long as
// the server keeps it.
type request struct {
	addr string
	conn net.Conn
	r    *bufio.Reader
	sent time.Time
	out  []byte
	body bytes.Buffer
}

// mostIdle is less than the 5 s after which Node.js closes a connection that
// carries no request.
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
	q.conn.SetDeadline(time.Now().Add(patience))
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
