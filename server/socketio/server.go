// Package socketio is the edge to Socket.IO: the only package that imports the
// library, and the one that keeps the library's defects from everything else.
//
// The library (github.com/zishang520/socket.io/v2 v2.5.0) carries the
// transports, the heartbeat, the upgrade and the namespace. Incoming packets
// are decoded and dispatched here, in the order in which they came, so that
// none reaches the library that it cannot take: see decoder. HTTP requests are
// checked and answered here as the original answers them, so that none reaches
// the library before it is ready for it: see Server.ServeHTTP.
package socketio

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/zishang520/engine.io/v2/engine"
	"github.com/zishang520/engine.io/v2/transports"
	"github.com/zishang520/engine.io/v2/types"
	"github.com/zishang520/socket.io/v2/socket"
)

// Heartbeat of the original, which every client is told at the handshake.
const (
	pingInterval = 25 * time.Second
	pingTimeout  = 20 * time.Second
)

// MaxPayload is the largest request body, packet and WebSocket frame that is
// taken, in bytes; every client is told it at the handshake.
const MaxPayload = 1_000_000

// Handler is told what happens on namespace "/". The calls for one session
// come one at a time and in order: Connect first, Disconnect last, and once,
// unless the Handler has ended the session by Refuse.
// Calls for different sessions come at the same time.
type Handler interface {
	// Connect: the session asks to join. It stays "connecting" until Admit or
	// Refuse, now or later.
	Connect(s *Session)
	// Event: the session sent an event.
	Event(s *Session, e Event)
	// Heartbeat: the session has answered a ping, so somebody is there.
	Heartbeat(s *Session)
	// Disconnect: the session is leaving or gone. What is emitted to a session
	// that leaves by a DISCONNECT packet still reaches it.
	Disconnect(s *Session)
}

// An Event is what a session sent.
type Event struct {
	Name   string
	Args   []string // each a JSON text
	Binary bool     // Args may hold placeholders of attachments
	AckID  string   // "" if the packet asks for no ack
}

// Server serves Socket.IO. It is an http.Handler for protocol.Path.
type Server struct {
	io      *socket.Server
	engine  http.Handler
	handler Handler
	origins []string
	limits  Limits
	doors   doors
	hit     func(Limit)
	log     *slog.Logger
}

// Options are for New.
type Options struct {
	// Origins are those that requests with an Origin header are taken from; all
	// if there are none.
	Origins []string
	Limits  Limits
	// Hit is told each time that a limit was reached. It may be called by any
	// number of goroutines; nil is nobody.
	Hit func(Limit)
	Log *slog.Logger
}

// New returns a server that reports to handler.
func New(handler Handler, o Options) *Server {
	s := &Server{handler: handler, origins: o.Origins, limits: o.Limits, hit: o.Hit, log: o.Log}
	s.doors = doors{limits: o.Limits, address: make(map[string]int)}
	if s.hit == nil {
		s.hit = func(Limit) {}
	}
	opts := socket.DefaultServerOptions()
	opts.SetServeClient(false)
	opts.SetPingInterval(pingInterval)
	opts.SetPingTimeout(pingTimeout)
	opts.SetMaxHttpBufferSize(MaxPayload)
	opts.SetPerMessageDeflate(&types.PerMessageDeflate{Threshold: 1024})
	opts.SetParser(parserFor{s})
	s.io = socket.NewServer(nil, opts)
	// A middleware runs before the library sends "40". What is emitted from it
	// goes out first, which the original does and the Python client needs.
	s.io.Use(func(sock *socket.Socket, next func(*socket.ExtendedError)) {
		if d, ok := sock.Handshake().Auth.(*decoder); ok {
			d.join(sock, next)
		}
	})
	s.io.On("connection", func(args ...any) {
		if session, ok := args[0].(*socket.Socket).Data().(*Session); ok {
			session.joinedNow()
		}
	})
	s.engine = s.io.ServeHandler(nil)
	s.io.Engine().On("connection", func(args ...any) {
		conn := args[0].(engine.Socket)
		if t := ticketOf(conn); t != nil {
			t.opened(conn)
			conn.Once("close", func(...any) { t.leave() })
		}
	})
	return s
}

// Sessions returns how many Engine.IO sessions are open.
func (s *Server) Sessions() int { return int(s.io.Engine().ClientsCount()) }

// Flush waits until the WebSockets have been handed all that was sent, or ctx
// ends. A client that polls gets what there is with its next request.
func (s *Server) Flush(ctx context.Context) {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for s.unsent() {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}

// unsent tells whether a WebSocket is being written to.
func (s *Server) unsent() (busy bool) {
	s.io.Engine().Clients().Range(func(_ string, conn engine.Socket) bool {
		t := conn.Transport()
		busy = t.Name() == transports.WEBSOCKET && !t.Writable()
		return !busy
	})
	return busy
}
