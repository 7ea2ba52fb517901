// Package socketio serves Socket.IO 5 over package engineio: clients join
// namespaces, and both sides send each other events and acknowledge them, in
// order. It is the only package that imports the library
// (github.com/zishang520/socket.io/v2), whose Socket.IO part manages the namespaces
// and answers CONNECT; see library. Events are parsed and dispatched here: the
// library delivers them out of order, and a malformed one ends the process.
//
// https://github.com/socketio/socket.io-protocol
package socketio

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"counting/server/engineio"
)

// Handler handles the sessions on a namespace. Its methods are called one at a time
// and in order for each session, and concurrently for different sessions: Connect
// first, and Disconnect once and last, unless the Handler has ended the session by
// Refuse. A panic ends the process.
type Handler interface {
	// Connect is called when the session asks to join. The session is connecting until
	// its Admit or Refuse is called, within Connect or later.
	Connect(s *Session)
	// Event is called when the session has sent an event, which may be before it was
	// admitted. ack is the packet's ack id, for Session.Ack, or "" if the packet does
	// not ask for an ack.
	Event(s *Session, name string, args Args, ack string)
	// Heartbeat is called when the session has answered a ping.
	Heartbeat(s *Session)
	// Disconnect is called when the session is leaving or has ended. What is emitted to
	// a session that leaves by a DISCONNECT packet still reaches it.
	Disconnect(s *Session)
}

// Args are the arguments of an event or of an ack.
type Args struct {
	// JSON has the text of each argument, which is valid JSON.
	JSON []string
	// Binary is set if the packet was a binary one. In JSON, the placeholder
	// {"_placeholder":true,"num":n} stands for Attachments[n].
	Binary      bool
	Attachments [][]byte
}

// Server serves Socket.IO. It is an http.Handler for the path of Socket.IO, and
// safe for concurrent use.
type Server struct {
	handlers map[string]Handler
	options  engineio.Options
	engine   *engineio.Server
	library  *library
}

// New returns a server for namespaces, such as "/", and their handlers. A client that
// asks for another namespace is refused. The caller must Close the server.
func New(handlers map[string]Handler, o engineio.Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{handlers: handlers, options: o, library: newLibrary(handlers)}
	s.engine = engineio.New(s.accept, o)
	return s
}

// ServeHTTP serves the requests of Engine.IO.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.engine.ServeHTTP(w, r) }

// Sessions returns how many Engine.IO sessions are open.
func (s *Server) Sessions() int { return s.engine.Sessions() }

// Usage returns how many bytes count against Limits.Receiving and Limits.Sending.
func (s *Server) Usage() (receiving, sending int64) { return s.engine.Usage() }

// Flush waits until all data for WebSockets was passed to the kernel, or ctx ends. A
// client that polls gets its data with its next request.
func (s *Server) Flush(ctx context.Context) {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for s.engine.Pending() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}

// Close stops the heartbeat. It does not end sessions; the caller must close the
// connections.
func (s *Server) Close() {
	s.engine.Close()
	s.library.close()
}
