package socketio

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zishang520/engine.io/v2/events"
	"github.com/zishang520/engine.io/v2/types"
	"github.com/zishang520/socket.io-go-parser/v2/parser"
	"github.com/zishang520/socket.io/v2/socket"
)

// parserFor makes the library use our decoder in place of its own.
type parserFor struct{ server *Server }

func (p parserFor) NewEncoder() parser.Encoder { return encoder{parser.NewEncoder()} }
func (p parserFor) NewDecoder() parser.Decoder {
	return &decoder{EventEmitter: events.New(), server: p.server}
}

// encoder encodes what the library sends by itself: CONNECT and CONNECT_ERROR.
type encoder struct{ parser.Encoder }

func (e encoder) Encode(p *parser.Packet) []types.BufferInterface {
	if p.Type == parser.CONNECT_ERROR {
		p.Data = "Unable to connect" // the original's words for a namespace that is not served
	}
	return e.Encoder.Encode(p)
}

// decoder takes the Socket.IO packets of one connection, in order, and hands
// them to the Handler itself. Only CONNECT and DISCONNECT go on to the library,
// which would run each packet in goroutines of its own, out of order, and end
// the process on one that is broken (an event without a payload, say). A broken
// packet is logged, and the session lives on, as on the original.
type decoder struct {
	events.EventEmitter
	server *Server

	waiting atomic.Int64 // packets that the transport has not been handed

	mu      sync.Mutex // held while a packet is dispatched; the Handler's locks come after it
	closed  bool
	session *Session // nil while nobody is on namespace "/"
	listens bool     // to what the connection tells
	binary  *packet  // waits for attachments
}

// Add is called by the library with each message of the connection. It returns
// no error, because the library closes the connection on one.
func (d *decoder) Add(data any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	text, isText := data.(*types.StringBuffer)
	if !isText {
		d.attachment()
		return nil
	}
	p, err := guarded(text.String(), parsePacket)
	if err != nil {
		d.server.log.Warn(fmt.Sprintf("broken packet %s: %v", shorten(text.String()), err), "session", d.id())
		return nil
	}
	d.binary = nil
	d.dispatch(p)
	return nil
}

// Destroy is called by the library when the connection is closed.
func (d *decoder) Destroy() {
	// Not here and now: the caller may be inside of Add, or of the Handler.
	go func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.closed = true
		if s := d.session; s != nil && !s.refused() {
			d.session = nil
			s.end()
			d.server.handler.Disconnect(s)
		}
	}()
}

func (d *decoder) dispatch(p packet) {
	if d.session != nil && d.session.refused() {
		d.session = nil
	}
	switch {
	case p.kind == kindConnect && p.nsp != "/":
		d.Emit("decoded", &parser.Packet{Type: parser.CONNECT, Nsp: p.nsp}) // refused by the library
	case p.kind == kindConnect && d.session != nil:
		d.server.log.Warn("CONNECT from a session that is connected", "session", d.id())
	case p.kind == kindConnect:
		// The decoder travels as the auth payload, which the game ignores. That
		// is how the middleware finds it; it runs before Emit returns.
		d.Emit("decoded", &parser.Packet{Type: parser.CONNECT, Nsp: "/", Data: d})
	case d.session == nil || p.nsp != "/":
		d.server.log.Debug("packet outside of a session", "kind", string(p.kind), "namespace", shorten(p.nsp))
	case p.kind == kindDisconnect:
		d.leave()
	case p.kind == kindEvent:
		d.event(p)
	case p.kind == kindBinaryEvent:
		d.binary = &p
		if p.attachments == 0 {
			d.attachment()
		}
	}
}

func (d *decoder) event(p packet) {
	e, err := guarded(p, packet.event)
	if err != nil {
		d.server.log.Warn(fmt.Sprintf("broken event %s: %v", shorten(p.data), err), "session", d.id())
		return
	}
	d.server.handler.Event(d.session, e)
}

// guarded parses something that a client sent. A panic in it is an error: what
// is parsed changes nothing, so nothing is left half done.
func guarded[In, Out any](in In, parse func(In) (Out, error)) (out Out, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it cannot be parsed: %v", p)
		}
	}()
	return parse(in)
}

// attachment counts the attachments of a binary event down. Their bytes are
// not kept: no number is binary, and no seat has a binary name.
func (d *decoder) attachment() {
	if d.binary == nil {
		d.server.log.Warn("binary data that belongs to no packet", "session", d.id())
		return
	}
	if d.binary.attachments--; d.binary.attachments <= 0 {
		p := *d.binary
		d.binary = nil
		if d.session != nil {
			d.event(p)
		}
	}
}

func (d *decoder) join(sock *socket.Socket, next func(*socket.ExtendedError)) {
	d.session = newSession(sock, next, d)
	if !d.listens {
		d.listens = true
		sock.Conn().On("heartbeat", func(...any) { d.heartbeat() })
		sock.Conn().On("flush", func(...any) { d.waiting.Store(0) })
	}
	d.server.handler.Connect(d.session)
}

// overfull is told that a session does not take what it is sent.
func (d *decoder) overfull(s *Session) {
	d.server.hit(LimitWaiting)
	d.server.log.Warn(fmt.Sprintf("ended a session that does not take what it is sent: more than %d packets wait for it", d.server.limits.Waiting),
		"session", s.ID, "address", s.Addr)
	go s.socket.Conn().Close(true) // the caller holds locks
}

func (d *decoder) heartbeat() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.session != nil && !d.session.refused() {
		d.server.handler.Heartbeat(d.session)
	}
}

// leave ends the session at the client's wish; the connection stays, and may
// join again. The library is told last, so that the Handler can still emit to
// the leaver, and waited for, so that it is ready for the next CONNECT.
func (d *decoder) leave() {
	s := d.session
	d.session = nil
	d.server.handler.Disconnect(s)
	if s.invited() {
		wait(s.joined)
		done := make(chan struct{})
		s.socket.Once("disconnect", func(...any) { close(done) })
		d.Emit("decoded", &parser.Packet{Type: parser.DISCONNECT, Nsp: "/"})
		wait(done)
	}
	s.end()
}

// wait waits for the library, which takes microseconds, or for ever when the
// connection closes at the same time.
func wait(done <-chan struct{}) {
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}

func (d *decoder) id() string {
	if d.session == nil {
		return ""
	}
	return d.session.ID
}
