package capture

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"counting/compat-tests/siotape/tape"
)

func toBase64(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// A socket is a WebSocket that is being recorded.
type socket struct {
	*call
	x *exchange

	mu       sync.Mutex // guards what follows
	session  *session   // nil until it is known whether it is Engine.IO
	early    []tape.Line
	earlyAt  []time.Duration
	closed   bool
	isCustom bool
}

// readFrames records the traffic after a response of 101.
func (c *call) readFrames(x *exchange, requests, answers *bufio.Reader) {
	sid := x.query.Get("sid")
	switch protocol := x.res.Header.Get("Upgrade"); {
	case !strings.EqualFold(protocol, "websocket"):
		c.asm.notUnderstood(x.answered, fmt.Sprintf("connection %d, after its upgrade to %q", c.number, protocol))
		c.drop()
		return
	case x.isEngineIO() && x.query.Get("EIO") != "4" || c.asm.isForeign(sid):
		c.asm.foreigner(x)
		c.drop()
		return
	}
	s := &socket{call: c, x: x}
	switch {
	case !x.isEngineIO():
		s.open(c.asm.begin("", ""), true)
	case sid != "":
		session := c.asm.find(x)
		if session == nil {
			c.asm.foreigner(x)
			c.drop()
			return
		}
		s.open(session, false)
	}
	var both sync.WaitGroup
	both.Go(func() { s.side(tape.Client, requests, c.up, c.down) })
	both.Go(func() { s.side(tape.Server, answers, c.down, c.up) })
	both.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil { // it ended before the first message
		s.open(c.asm.begin("", x.req.URL.Path), false)
		s.flush()
	}
}

// open writes that the client opens the WebSocket.
func (s *socket) open(session *session, raw bool) {
	s.session = session
	l := tape.Line{Session: session.letter, From: tape.Client, Over: tape.WebSocket, Open: true, Raw: raw,
		URL: s.x.uri(), Headers: sentHeaders(s.x.req, false)}
	if raw {
		l.URL = s.x.req.RequestURI
	}
	s.asm.put(s.x.asked, l)
}

func (s *socket) flush() {
	for i, l := range s.early {
		l.Session = s.session.letter
		s.write(s.earlyAt[i], l)
	}
	s.early, s.earlyAt = nil, nil
}

func (s *socket) write(at time.Duration, l tape.Line) {
	if l.Packet != nil {
		s.asm.packet(at, s.session, l)
		return
	}
	s.asm.put(at, l)
}

// line records what one side did. The server's first message shows whether this is
// Engine.IO.
func (s *socket) line(at time.Duration, l tape.Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.Close {
		if s.closed {
			return // the second close is only a reply
		}
		s.closed = true
	}
	if s.session == nil {
		if l.From == tape.Client {
			s.early, s.earlyAt = append(s.early, l), append(s.earlyAt, at)
			return
		}
		sid := ""
		if l.Packet != nil && !l.Binary {
			sid = handshakeID(*l.Packet)
		}
		s.open(s.asm.begin(sid, s.x.req.URL.Path), sid == "" && !l.Close)
		if sid != "" {
			if h := gotHeaders(s.x.res); len(h) > 0 {
				l.Headers = h
			}
		}
		s.flush()
	}
	l.Session = s.session.letter
	if l.Binary && !s.isCustom && s.x.isEngineIO() && isCustom(l.Data()) {
		s.isCustom = true
		s.asm.notUnderstood(at, fmt.Sprintf("session %s: its packets are binary, those of another parser than the default one (msgpack?); "+
			"they are recorded, and compared byte for byte", l.Session))
	}
	s.write(at, l)
	if l.Close && s.x.query.Get("sid") == "" {
		s.asm.mu.Lock()
		s.session.over = true
		s.asm.mu.Unlock()
	}
}

// isCustom reports whether a binary message looks like a Socket.IO packet of the
// msgpack parser: a map of a few keys, the first of which is "type".
func isCustom(data []byte) bool {
	return len(data) > 6 && data[0]&0xf0 == 0x80 && string(data[1:6]) == "\xa4type"
}

// side reads one side's WebSocket messages.
func (s *socket) side(from string, in *bufio.Reader, at, other *stream) {
	extensions := s.x.res.Header.Get("Sec-WebSocket-Extensions")
	fresh := "server_no_context_takeover"
	if from == tape.Client {
		fresh = "client_no_context_takeover"
	}
	m := messages{in: in, takeover: !strings.Contains(extensions, fresh)}
	for {
		msg, err := m.next()
		if err != nil {
			s.ended(from, in, at, other, err)
			return
		}
		l := tape.Line{From: from, Over: tape.WebSocket, Close: msg.close, Binary: msg.binary}
		if !msg.close {
			text := string(msg.data)
			if msg.binary {
				text = toBase64(msg.data)
			}
			l.Packet = &text
			s.line(at.at, l)
			continue
		}
		s.close(from, at.at, other)
		at.drop()
		at.waitEnd()
		return
	}
}

// ended handles the end of a side, or an error in reading it.
func (s *socket) ended(from string, in *bufio.Reader, at, other *stream, err error) {
	if !isEnd(err) {
		s.asm.notUnderstood(at.at, fmt.Sprintf("connection %d, from byte %d of the WebSocket's frames from the %s: %v",
			s.number, at.offset-int64(in.Buffered()), from, err))
		at.drop()
	}
	at.waitEnd()
	if hungUp := at.hangUp(); hungUp != nil {
		s.close(from, *hungUp, other)
	}
}

// close records the close of a side, if it was the first, after what the other side did
// before.
func (s *socket) close(from string, at time.Duration, other *stream) {
	s.await(at, func() bool { return s.isClosed() || !other.isBehind(at) && !other.hungUpBefore(at) })
	s.line(at, tape.Line{From: from, Over: tape.WebSocket, Close: true})
}

// isClosed reports whether the close of a side was recorded.
func (s *socket) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
