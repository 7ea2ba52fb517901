// Package socketio serves Socket.IO 5 over package engineio: clients join
// namespaces, and both sides send each other events and acknowledge them, in
// order. It is the only package that imports the library
// (github.com/zishang520/socket.io/v2), whose Socket.IO part keeps the namespaces
// and answers CONNECT; see library. Events are read and dispatched here: the
// library hands them on out of order, and a broken one ends the process.
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

// Handler is told what happens on a namespace. The calls for one session come
// one at a time and in order: Connect first, Disconnect last, and once, unless
// the Handler has ended the session by Refuse. Calls for different sessions come
// at the same time. A call that panics ends the process.
type Handler interface {
	// Connect: the session asks to join. It stays connecting until Admit or
	// Refuse, now or later.
	Connect(s *Session)
	// Event: the session has sent an event. ack is the packet's ack id, for
	// Session.Ack, or "" if it asks for no ack. Events may come before the session
	// was admitted.
	Event(s *Session, name string, args Args, ack string)
	// Heartbeat: the session has answered a ping, so somebody is there.
	Heartbeat(s *Session)
	// Disconnect: the session is leaving or gone. What is emitted to a session
	// that leaves by a DISCONNECT packet still reaches it.
	Disconnect(s *Session)
}

// Args are the arguments of an event or of an ack.
type Args struct {
	// JSON has the text of each argument, which is valid JSON.
	JSON []string
	// Binary is set if the packet was a binary one. Binary data stands in JSON as
	// {"_placeholder":true,"num":n}, for Attachments[n].
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

// New returns a server for namespaces, "/" for instance, and their handlers. A
// client that asks for another namespace is refused. The server must be closed
// after use.
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

// Usage returns how many bytes are being received, and wait to be sent, beyond
// what each session has free.
func (s *Server) Usage() (receiving, sending int64) { return s.engine.Usage() }

// Flush waits until the WebSockets have been handed all that was sent, or ctx
// ends. A client that polls gets what there is with its next request.
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

// Close stops the heartbeat. It does not end sessions: close the connections.
func (s *Server) Close() {
	s.engine.Close()
	s.library.close()
}
