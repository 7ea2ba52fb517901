package socketio

import (
	"fmt"
	"sync/atomic"
	"time"

	"counting/server/engineio"
)

// connection is one Engine.IO session and its sessions on namespaces. It is an
// engineio.Handler: its methods are called one at a time.
type connection struct {
	server   *Server
	engine   *engineio.Session
	sessions []*Session   // at most one for each namespace
	joined   atomic.Int32 // sessions that were not refused and have not left
	binary   *packet      // waits for its attachments, or nil
	name     string       // in the log; set when first needed
}

func (s *Server) accept(session *engineio.Session) engineio.Handler {
	return &connection{server: s, engine: session}
}

// Message handles a packet or an attachment of the previous one. A malformed packet is
// logged and ignored, as python-socketio does.
func (c *connection) Message(data []byte, binary bool) {
	if binary {
		c.attachment(data)
		return
	}
	p, err := parse(data)
	if err != nil {
		c.warn(fmt.Sprintf("broken packet %s: %v", shorten(string(data)), err))
		return
	}
	c.dropBinary()
	if p.attachments > 0 {
		incomplete := p // p itself stays on the stack
		if c.reserve(&incomplete, len(data)+argumentOverhead*len(p.args.JSON)) {
			c.binary = &incomplete
		}
		return
	}
	c.dispatch(p)
}

func (c *connection) dispatch(p packet) {
	session := c.on(p.nsp)
	handler := c.server.handlers[p.nsp]
	switch {
	case p.kind == kindConnect && handler == nil:
		c.engine.Slow(connectCost)
		c.refuse(p.nsp)
	case p.kind == kindConnect && session != nil:
		c.engine.Slow(mistakeCost)
		c.engine.Send(head(kindConnectError, p.nsp) + `"Unable to connect"`)
	case p.kind == kindConnect:
		c.engine.Slow(connectCost)
		session = newSession(c, p.nsp, p.data)
		c.name = session.ID
		c.sessions = append(c.sessions, session)
		handler.Connect(session)
		session.auth = ""
	case session == nil:
		c.engine.Slow(mistakeCost)
		c.server.options.Log.Debug("packet outside of a session", "kind", string(p.kind), "namespace", shorten(p.nsp), "group", c.engine.Group(), "address", c.engine.Addr())
	case p.kind == kindDisconnect:
		c.leave(session)
		handler.Disconnect(session)
		session.end()
	case p.isEvent():
		handler.Event(session, p.name, p.args, p.id)
	case p.isAck():
		session.acked(p.id, p.args)
	}
}

// on returns the session on that namespace, or nil.
func (c *connection) on(namespace string) *Session {
	for _, s := range c.sessions {
		if s.namespace == namespace {
			if !s.isGone() {
				return s
			}
			c.leave(s)
			break
		}
	}
	return nil
}

func (c *connection) leave(session *Session) {
	for i, s := range c.sessions {
		if s == session {
			c.sessions = append(c.sessions[:i], c.sessions[i+1:]...)
			return
		}
	}
}

// refuse lets the library refuse a namespace that is not served.
func (c *connection) refuse(namespace string) {
	refused := c.server.library.connect(c.engine.ID(), namespace, c.engine.Send)
	refused.refused()
}

// attachment adds binary data to the packet that waits for it.
func (c *connection) attachment(data []byte) {
	if c.binary == nil {
		c.warn("binary data that does not belong to a packet")
		return
	}
	p := c.binary
	if !c.reserve(p, len(data)+attachmentOverhead) {
		return
	}
	p.args.Attachments = append(p.args.Attachments, append([]byte(nil), data...))
	if len(p.args.Attachments) == p.attachments {
		defer c.engine.Reserve(-p.size)
		c.binary = nil
		c.dispatch(*p)
	}
}

const (
	// maxIncomplete bounds the bytes that are kept of one packet until its attachments
	// have arrived.
	maxIncomplete = 2 << 20
	// The memory that an attachment and an argument take in addition to their bytes.
	attachmentOverhead = 64
	argumentOverhead   = 32
)

// reserve counts bytes of an incomplete packet against Limits.Receiving. If there are
// too many, it ends the session and returns false.
func (c *connection) reserve(p *packet, bytes int) bool {
	if p.size+bytes > maxIncomplete || c.engine.Reserve(bytes) != nil {
		c.engine.Close("it sent too much of a packet that is incomplete")
		return false
	}
	p.size += bytes
	return true
}

// dropBinary drops a packet whose attachments did not arrive.
func (c *connection) dropBinary() {
	if c.binary != nil {
		c.engine.Reserve(-c.binary.size)
		c.binary = nil
	}
}

// Heartbeat calls the handlers' Heartbeat.
func (c *connection) Heartbeat() {
	for _, s := range c.sessions {
		if !s.isGone() {
			c.server.handlers[s.namespace].Heartbeat(s)
		}
	}
}

// Close ends the sessions and calls the handlers' Disconnect.
func (c *connection) Close(string) {
	c.dropBinary()
	for _, s := range c.sessions {
		if !s.isGone() {
			c.server.handlers[s.namespace].Disconnect(s)
			s.end()
		}
	}
	c.sessions = nil
}

// setJoined adds delta to the number of sessions that have joined or wait to be
// admitted.
func (c *connection) setJoined(delta int32) {
	c.engine.SetJoined(c.joined.Add(delta) > 0)
}

// Costs of actions that ordinary clients take rarely: see engineio.Session.Slow.
const (
	mistakeCost = 200 * time.Microsecond
	connectCost = 2 * time.Millisecond
)

// warn logs a mistake in what the client sends.
func (c *connection) warn(message string) {
	c.engine.Slow(mistakeCost)
	if c.name == "" {
		c.name = newID()
	}
	c.server.options.Log.Warn(message, "session", c.name, "group", c.engine.Group(), "address", c.engine.Addr())
}
