package engineio

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"counting/server/nonblocking"
)

// upgradeTimeout is how long an upgrade may take, from the WebSocket's
// handshake to the UPGRADE packet.
const upgradeTimeout = 10 * time.Second

// messageTimeout is how long a message may take to arrive, from its first byte.
const messageTimeout = 15 * time.Second

// A message after quietTime without one is the last that its goroutine handles: a new one
// waits for the next message. The stack that handling a message needs is not needed to wait,
// and the garbage collector never shrinks it to less than 4 KB.
const quietTime = time.Second

// conn is a WebSocket. One goroutine reads it, in serve. Queued packets are written
// in one system call by the goroutine that sends. If the kernel does not accept all of
// it without blocking, a temporary goroutine writes the rest.
type conn struct {
	session *Session
	net     net.Conn
	in      frameReader
	last    time.Time // when the last message was handled; only serve uses it

	// Guarded by session.mu.
	out     nonblocking.Writer
	writing bool // a goroutine is writing
	closing bool // to be closed once everything is written
	dead    bool // closed
}

// isUpgrade reports whether the request asks for a WebSocket.
func isUpgrade(r *http.Request) bool {
	return headerHas(r.Header["Connection"], "upgrade") && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

func headerHas(values []string, token string) bool {
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}

// accept upgrades the request's connection to a WebSocket, which has none of the request's
// deadlines, or answers with an error and returns nil. Compression is not offered: packets
// are too short to gain from it, and 1 kB of compressed data can expand to a megabyte.
func (s *Session) accept(w http.ResponseWriter, r *http.Request) *conn {
	netConn, rw, _, err := ws.HTTPUpgrader{Timeout: writeTimeout}.Upgrade(r, w)
	if err != nil {
		s.server.options.Log.Debug("refused a WebSocket: "+err.Error(), "address", s.addr)
		if netConn != nil { // it was hijacked from net/http
			netConn.Close()
		}
		return nil
	}
	c := &conn{session: s, net: netConn}
	c.in.conn = netConn
	raw := nonblocking.RawConn(netConn)
	c.out = nonblocking.NewWriter(raw)
	c.in.ready = readinessReader{raw: raw, reader: &c.in}
	// The client may have sent frames directly after its request.
	if n := rw.Reader.Buffered(); n > 0 {
		early, _ := rw.Reader.Peek(n)
		c.in.early = bytes.Clone(early)
	}
	return c
}

// attach makes the WebSocket the session's transport, and sends first and then what is
// queued.
func (s *Session) attach(c *conn, first ...packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.probing = c, nil
	for _, p := range first {
		s.setCost(s.cost + p.cost())
	}
	s.queue = append(first, s.queue...)
	s.flush()
}

// upgrade serves the WebSocket that a polling session is to be upgraded to.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, session *Session) {
	session.mu.Lock()
	upgraded := session.over || session.conn != nil
	session.mu.Unlock()
	if upgraded {
		refuse(w, http.StatusBadRequest, "the session has been upgraded already")
		return
	}
	if c := session.accept(w, r); c != nil {
		go c.serveUpgrade()
	}
}

// serveUpgrade waits for the probe and for the UPGRADE packet. Anything else closes
// this WebSocket, and the session continues to poll.
func (c *conn) serveUpgrade() {
	s := c.session
	c.in.until = time.Now().Add(upgradeTimeout)
	c.net.SetDeadline(c.in.until)
	if !c.awaitUpgrade() {
		s.mu.Lock()
		if s.probing == c {
			s.probing = nil
		}
		s.mu.Unlock()
		c.net.Close()
		c.in.release(s)
		return
	}
	c.serve()
}

// awaitUpgrade reports whether the session was upgraded to this WebSocket.
func (c *conn) awaitUpgrade() bool {
	s := c.session
	if text, err := c.nextText(); err != nil || text != "2probe" {
		return false
	}
	s.mu.Lock()
	if s.ending || s.conn != nil || s.probing != nil {
		s.mu.Unlock()
		return false
	}
	s.probing = c
	if s.waiting != nil { // answered now, so that the client can stop polling
		s.answerWaiting(append(s.take(), noop))
	}
	s.mu.Unlock()
	if err := c.writeFrame(ws.OpText, "3probe"); err != nil {
		return false
	}
	if text, err := c.nextText(); err != nil || text != string(typeUpgrade) {
		return false
	}
	// Must precede the upgrade, after which senders set their own deadlines.
	c.in.until = time.Time{}
	c.net.SetDeadline(time.Time{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending || s.probing != c {
		return false
	}
	s.conn, s.probing = c, nil
	s.flush()
	return true
}

// nextText returns the next message. It returns an error if that is not text.
func (c *conn) nextText() (string, error) {
	for {
		op, data, err := c.in.next(c.session)
		switch {
		case err != nil:
			return "", err
		case op == ws.OpText:
			return string(data), nil
		case op == ws.OpPing:
			if err := c.writeFrame(ws.OpPong, string(data)); err != nil {
				return "", err
			}
		case op != ws.OpPong:
			return "", errors.New("not text")
		}
	}
}

// writeFrame writes a frame before the WebSocket is the session's transport.
func (c *conn) writeFrame(op ws.OpCode, data string) error {
	_, err := c.net.Write(appendFrame(nil, op, data))
	return err
}

// serve reads the WebSocket until either side closes it, and then ends the session.
func (c *conn) serve() {
	c.in.await(c.session)
	reason := c.read()
	if reason == "" {
		go c.serve()
		return
	}
	c.in.release(c.session)
	c.session.end(reason)
}

// read handles what the client sends. It returns the reason of its end, or "" after a message
// that came after quietTime. While further messages are already received, what is sent to
// the session is buffered, so that the answers to all of them go out in one write.
func (c *conn) read() (reason string) {
	s := c.session
	corked := false
	uncork := func() {
		if corked {
			corked = false
			s.Uncork()
		}
	}
	c.in.beforeWait = uncork
	defer uncork()
	for {
		op, data, err := c.in.next(s)
		if !corked && c.in.buffered() {
			corked = true
			s.Cork()
		}
		if err != nil {
			return "its WebSocket ended: " + err.Error()
		}
		switch op {
		case ws.OpText:
			if reason := c.text(data); reason != "" {
				return reason
			}
		case ws.OpBinary:
			s.packet(typeMessage, data, true)
		case ws.OpPing:
			s.sendControl(ws.OpPong, data)
		case ws.OpClose:
			return "the client closed its WebSocket"
		}
		if !c.in.buffered() {
			last := c.last
			if c.last = time.Now(); c.last.Sub(last) > quietTime {
				return ""
			}
		}
	}
}

// text handles a text message, and returns the reason why it ends the session, or "".
// As in python-engineio, packets that clients may not send are ignored; what is not a
// packet ends the session.
func (c *conn) text(data []byte) string {
	if len(data) > 0 && data[0] >= '0' && data[0] <= '9' {
		c.session.packet(data[0], data[1:], false)
		if data[0] == typeClose {
			return "the client left"
		}
		return ""
	}
	p, err := parsePacket(string(data))
	if err != nil {
		return "it sent " + err.Error()
	}
	c.session.packet(typeMessage, []byte(p.data), true)
	return ""
}

// write writes what is queued for the session. The caller holds s.mu.
func (c *conn) write() {
	s := c.session
	if c.writing || c.dead {
		return
	}
	buffer := writeBuffers.Get().(*[]byte)
	frames := (*buffer)[:0]
	for _, p := range s.queue {
		frames = p.appendFrame(frames)
	}
	s.empty()
	last := c.closing
	if last {
		frames = appendFrame(frames, ws.OpClose, closeNormal)
	}
	n, err := c.out.Write(frames)
	if err == nil && n < len(frames) {
		c.writing = true
		go c.writeRest(buffer, frames, n, s.cost, last)
		return
	}
	c.written(buffer, frames, s.cost, last, err)
}

// writeRest writes what the kernel did not accept without blocking.
func (c *conn) writeRest(buffer *[]byte, frames []byte, n int, cost int64, last bool) {
	c.net.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := c.net.Write(frames[n:])
	c.net.SetWriteDeadline(time.Time{})
	s := c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	c.writing = false
	c.written(buffer, frames, cost, last, err)
	if c.closing {
		c.write()
	} else {
		s.flush()
	}
}

// written records the result of writing frames. After the last ones, which end with a
// close frame, or an error it closes the connection. The caller holds s.mu.
func (c *conn) written(buffer *[]byte, frames []byte, cost int64, last bool, err error) {
	c.session.setCost(c.session.cost - cost)
	if cap(frames) <= 64<<10 {
		*buffer = frames
		writeBuffers.Put(buffer)
	}
	if err != nil || last {
		c.close() // the reader notices, and ends the session
	}
}

// finish closes the WebSocket once everything is written. The caller holds s.mu.
func (c *conn) finish() {
	c.closing = true
	if c != c.session.conn {
		c.close()
		return
	}
	c.write()
}

// close closes the connection. The caller holds s.mu.
func (c *conn) close() {
	if !c.dead {
		c.dead = true
		c.net.Close()
	}
	if c == c.session.conn {
		c.session.discard()
	}
}

// sendControl queues a control frame. It counts like any packet, since it answers
// something that the client has sent.
func (s *Session) sendControl(op ws.OpCode, data []byte) {
	s.send(packet{data: string(data), control: op})
}

var writeBuffers = sync.Pool{New: func() any { return new([]byte) }}

// closeNormal is the body of a close frame: status 1000.
const closeNormal = "\x03\xe8"

func (p packet) appendFrame(b []byte) []byte {
	switch {
	case p.control != 0:
		return appendFrame(b, p.control, p.data)
	case p.binary:
		return appendFrame(b, ws.OpBinary, p.data)
	}
	return appendFrame(b, ws.OpText, p.data)
}

// appendFrame appends an unfragmented, unmasked frame, as servers send it.
func appendFrame(b []byte, op ws.OpCode, data string) []byte {
	b = append(b, 0x80|byte(op))
	switch n := len(data); {
	case n < 126:
		b = append(b, byte(n))
	case n <= 0xffff:
		b = append(b, 126, byte(n>>8), byte(n))
	default:
		b = append(b, 127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, data...)
}
