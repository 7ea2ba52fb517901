package socketio

import (
	"fmt"
	"sync/atomic"
	"time"

	"counting/server/engineio"
)

// connection is one Engine.IO session and the sessions on its namespaces. It is
// an engineio.Handler: its methods are called one at a time.
type connection struct {
	server   *Server
	engine   *engineio.Session
	sessions []*Session   // at most one for each namespace
	joined   atomic.Int32 // sessions that were not refused and have not left
	binary   *packet      // waits for attachments
	name     string       // in the log, when there is something to log about it
}

func (s *Server) accept(session *engineio.Session) engineio.Handler {
	return &connection{server: s, engine: session}
}

// Message handles a packet, or an attachment of the one before. A broken packet
// is logged and ignored, as python-socketio does.
func (c *connection) Message(data []byte, binary bool) {
	if binary {
		c.attachment(data)
		return
	}
	p, err := parse(string(data))
	if err != nil {
		c.warn(fmt.Sprintf("broken packet %s: %v", shorten(string(data)), err))
		return
	}
	c.dropBinary()
	if p.attachments > 0 {
		if c.reserve(&p, len(data)+argumentOverhead*len(p.args.JSON)) {
			c.binary = &p
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
	case session == nil:
		c.engine.Slow(mistakeCost)
		c.server.options.Log.Debug("packet outside of a session", "kind", string(p.kind), "namespace", shorten(p.nsp))
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

// attachment takes binary data for the packet that waits for it.
func (c *connection) attachment(data []byte) {
	if c.binary == nil {
		c.warn("binary data that belongs to no packet")
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
	// maxIncomplete bounds what is kept of one packet until its attachments have
	// come, in bytes.
	maxIncomplete = 2 << 20
	// What an attachment, and an argument, cost in memory beside their bytes.
	attachmentOverhead = 64
	argumentOverhead   = 32
)

// reserve counts bytes that are kept of an incomplete packet as being received.
// It ends the session, and returns false, if they are too many.
func (c *connection) reserve(p *packet, bytes int) bool {
	if p.size+bytes > maxIncomplete || c.engine.Reserve(bytes) != nil {
		c.engine.Close("it sent too much of a packet that is incomplete")
		return false
	}
	p.size += bytes
	return true
}

// dropBinary forgets a packet whose attachments did not come.
func (c *connection) dropBinary() {
	if c.binary != nil {
		c.engine.Reserve(-c.binary.size)
		c.binary = nil
	}
}

// Heartbeat tells the handlers that somebody is there.
func (c *connection) Heartbeat() {
	for _, s := range c.sessions {
		if !s.isGone() {
			c.server.handlers[s.namespace].Heartbeat(s)
		}
	}
}

// Close tells the handlers that the sessions have ended.
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

// setJoined counts the sessions that have joined, or wait to.
func (c *connection) setJoined(delta int32) {
	c.engine.SetJoined(c.joined.Add(delta) > 0)
}

// What honest clients do rarely slows down whoever does it again and again: see
// engineio.Session.Slow.
const (
	mistakeCost = 200 * time.Microsecond
	connectCost = 2 * time.Millisecond
)

// warn logs what is wrong with what the client sends.
func (c *connection) warn(message string) {
	c.engine.Slow(mistakeCost)
	if c.name == "" {
		c.name = newID()
	}
	c.server.options.Log.Warn(message, "session", c.name, "address", c.engine.Addr())
}
