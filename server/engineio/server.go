// Package engineio serves Engine.IO 4: sessions that exchange text and binary
// messages over HTTP long-polling or WebSocket, can upgrade from the first to
// the second, and are kept alive by a heartbeat.
//
// The observable behavior is that of python-engineio 4.3, including statuses and
// messages, except where the official test suite of the protocol requires more. No
// client can end or delay another client's session: nothing in this package waits
// for a client while it holds a shared resource, and Limits bounds the memory that
// clients can make the server use.
//
// https://github.com/socketio/engine.io-protocol
package engineio

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"counting/server/clientaddr"
)

// Handler handles what one session sends. Its methods are called one at a time and
// in order, Close last. A handler that blocks delays only its own session. A panic of
// a handler ends the process, since it leaves the application in an unknown state.
type Handler interface {
	// Message is called when the client has sent a message. The data is valid until
	// Message returns.
	Message(data []byte, binary bool)
	// Heartbeat is called when the client has sent a PONG.
	Heartbeat()
	// Close is called when the session is ending or has ended. What is sent before
	// Close returns still reaches a session that ends by a CLOSE packet.
	Close(reason string)
}

// Options configure a Server. All fields are optional.
type Options struct {
	// PingInterval is the time from one answered ping to the next ping, and
	// PingTimeout how long a client may take to answer one. 0 means 25 s and 20 s.
	// The handshake sends both to the client.
	PingInterval, PingTimeout time.Duration
	// MaxPayload bounds a request body, a packet and a WebSocket message, in bytes;
	// 0 means 1,000,000. The handshake sends it to the client.
	MaxPayload int
	// MaxPackets bounds the packets in one polling request body; a body with more
	// is answered 200 and ignored, as python-engineio does with more than 16. 0 means
	// no limit.
	MaxPackets int
	// JoinTimeout, if not 0, is how long a session may stay without having joined
	// anything (see Session.SetJoined) before it is closed.
	JoinTimeout time.Duration
	// Origins are the accepted values of the Origin header. If it is empty, all are
	// accepted.
	Origins []string
	// Authorize, if non-nil, reports whether a handshake is accepted; otherwise it is
	// answered 401. It may be called concurrently.
	Authorize func(*http.Request) bool
	// Admit, if non-nil, is called with each handshake that is valid and authorized. It
	// either calls open, once, with the session's group (see Session.Group and
	// Limits.SessionsPerGroup), or answers the request itself (see Refuse). It may be
	// called concurrently, and delays only this handshake while it blocks.
	Admit func(w http.ResponseWriter, r *http.Request, open func(group string))
	// Unknown, if non-nil, answers requests for sessions that are not open here and did
	// not end recently: see RefuseSession.
	Unknown http.Handler
	// Trusted are the proxies whose X-Forwarded-For header is used.
	Trusted clientaddr.Trusted
	Limits  Limits
	// OnLimit, if non-nil, is called whenever a limit is reached. It may be called
	// concurrently, and must not block.
	OnLimit func(Limit)
	// Log, if non-nil, receives messages for operators.
	Log *slog.Logger
}

// Server serves Engine.IO. It is an http.Handler, ignores the path of requests, and
// is safe for concurrent use.
type Server struct {
	accept    func(*Session) Handler
	options   Options
	receiving *budget
	sending   *budget
	wake      chan struct{} // wakes the heartbeat
	closed    chan struct{}
	closeOnce sync.Once

	mu       sync.Mutex
	sessions map[string]*Session
	ended    tombstones
	slots    slots
	pings    deadlines // sessions that will be pinged
	pongs    deadlines // sessions that have to answer a ping
}

// New returns a server that calls accept with each new session to obtain its
// Handler, before anything that the session sends is handled. accept may be called
// concurrently. What it sends to the session follows the handshake. The caller must
// Close the server.
func New(accept func(*Session) Handler, o Options) *Server {
	if o.PingInterval == 0 {
		o.PingInterval = 25 * time.Second
	}
	if o.PingTimeout == 0 {
		o.PingTimeout = 20 * time.Second
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = 1_000_000
	}
	if o.OnLimit == nil {
		o.OnLimit = func(Limit) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		accept:    accept,
		options:   o,
		receiving: newBudget(o.Limits.Receiving, o.Limits.ReceivingPerAddress),
		sending:   newBudget(o.Limits.Sending, o.Limits.SendingPerAddress),
		wake:      make(chan struct{}, 1),
		closed:    make(chan struct{}),
		sessions:  make(map[string]*Session),
		slots:     newSlots(o.Limits),
		pings:     deadlines{after: o.PingInterval},
		pongs:     deadlines{after: o.PingTimeout},
	}
	go s.heartbeat()
	return s
}

// Sessions returns how many sessions are open.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Usage returns how many bytes currently count against Limits.Receiving and
// Limits.Sending.
func (s *Server) Usage() (receiving, sending int64) {
	return s.receiving.inUse(), s.sending.inUse()
}

// Close stops the heartbeat. It neither ends sessions nor refuses new ones: stop
// serving first, and close the connections afterwards.
func (s *Server) Close() { s.closeOnce.Do(func() { close(s.closed) }) }

// Pending returns how many sessions on a WebSocket have data that was not yet passed
// to the kernel.
func (s *Server) Pending() int {
	s.mu.Lock()
	sessions := make([]*Session, 0, len(s.sessions))
	for _, session := range s.sessions {
		sessions = append(sessions, session)
	}
	s.mu.Unlock()
	n := 0
	for _, session := range sessions {
		if session.pending() {
			n++
		}
	}
	return n
}

// ServeHTTP serves a request of a client. It refuses what python-engineio refuses,
// with the same checks in the same order and the same messages.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if origin := r.Header.Get("Origin"); origin != "" && len(s.options.Origins) > 0 && !slices.Contains(s.options.Origins, origin) {
		refuse(w, http.StatusBadRequest, "Not an accepted origin.")
		return
	}
	transport := first(query, "transport", "polling")
	sid := first(query, "sid", "")
	switch {
	case transport != "polling" && transport != "websocket":
		refuse(w, http.StatusBadRequest, "Invalid transport")
		return
	case sid == "" && !slices.Equal(nonEmpty(query["EIO"]), []string{"4"}):
		refuse(w, http.StatusBadRequest, "The client is using an unsupported version of the Socket.IO or Engine.IO protocols")
		return
	}
	allowOrigin(w, r)
	jsonp, ok := jsonpIndex(query)
	upgrade := isUpgrade(r)
	switch {
	case !ok:
		refuse(w, http.StatusBadRequest, "Invalid JSONP index number")
	case r.Method == http.MethodOptions:
		plain(w, http.StatusOK, "OK")
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		plain(w, http.StatusMethodNotAllowed, "Method Not Found")
	case sid == "" && r.Method == http.MethodPost:
		refuse(w, http.StatusBadRequest, "Invalid session")
	case sid == "" && transport == "websocket" && !strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		refuse(w, http.StatusBadRequest, "Invalid websocket upgrade")
	case sid == "":
		s.handshake(w, r, transport, jsonp)
	default:
		session, ended := s.session(sid)
		switch {
		case ended:
			plain(w, http.StatusInternalServerError, "the session is over")
		case session == nil && s.options.Unknown != nil:
			s.options.Unknown.ServeHTTP(w, r)
		case session == nil:
			RefuseSession(w)
		case r.Method == http.MethodPost:
			s.receive(w, r, session)
		case upgrade:
			s.upgrade(w, r, session)
		case transport == "websocket":
			// A proxy has removed the upgrade headers. Answering it as a poll would lose
			// packets: the client does not read the response.
			refuse(w, http.StatusBadRequest, "Invalid transport")
		default:
			session.poll(w, r, jsonp)
		}
	}
}

// session returns the open session with that id, or reports whether it has recently
// ended.
func (s *Server) session(sid string) (_ *Session, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if session := s.sessions[sid]; session != nil {
		return session, false
	}
	return nil, s.ended.take(sid)
}

// forget removes a session. unanswered means that no request was waiting, or has come,
// that could report its end; then the next request does. The caller holds session.mu.
func (s *Server) forget(session *Session, unanswered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopBeat(session)
	s.slots.release(session)
	delete(s.sessions, session.id)
	if unanswered {
		s.ended.add(session.id)
	}
}

// handshake opens a session or refuses to.
func (s *Server) handshake(w http.ResponseWriter, r *http.Request, transport, jsonp string) {
	if s.options.Authorize != nil && !s.options.Authorize(r) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `"Unauthorized"`)
		return
	}
	if s.options.Admit == nil {
		s.openSession(w, r, transport, jsonp, "")
		return
	}
	s.options.Admit(w, r, func(group string) { s.openSession(w, r, transport, jsonp, group) })
}

// openSession opens the session of a handshake.
func (s *Server) openSession(w http.ResponseWriter, r *http.Request, transport, jsonp, group string) {
	session := newSession(s, r)
	session.group = group
	s.mu.Lock()
	victims, reached := s.slots.acquire(session)
	if reached != "" {
		s.mu.Unlock()
		s.refuseSession(w, session, reached)
		return
	}
	s.slots.setIdle(session, true)
	s.sessions[session.id] = session
	s.startBeat(session)
	s.mu.Unlock()
	for _, victim := range victims {
		s.options.OnLimit(LimitAbandoned)
		victim.end("it was evicted by another session")
	}
	open := session.openPacket(transport)
	if transport == "websocket" {
		conn := session.accept(w, r)
		if conn != nil {
			session.attach(conn, open)
		}
		session.open(conn != nil)
		if conn != nil {
			go conn.serve()
		}
		return
	}
	session.open(true)
	answerPoll(w, []packet{open}, jsonp)
}

func (s *Server) refuseSession(w http.ResponseWriter, session *Session, reached Limit) {
	s.options.OnLimit(reached)
	s.options.Log.Debug("refused a session", "limit", string(reached), "group", session.group, "address", session.Addr())
	w.Header().Set("Retry-After", retryAfter)
	limits := s.options.Limits
	switch reached {
	case LimitSessionsPerAddress:
		refuse(w, http.StatusTooManyRequests, "too many sessions from "+session.Addr()+": the limit is "+strconv.Itoa(limits.SessionsPerAddress))
	case LimitSessionsPerGroup:
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("too many sessions in %q: the limit is %d", session.group, limits.SessionsPerGroup))
	default:
		refuse(w, http.StatusServiceUnavailable, "too many sessions: the limit is "+strconv.Itoa(limits.Sessions))
	}
}

// tombstones are the ids of the last sessions that ended while no request was
// waiting. As in python-engineio, the next request of such a session is answered 500,
// and later ones as if the session had never existed.
type tombstones struct {
	ids  map[string]struct{}
	ring [256]string
	next int
}

func (t *tombstones) add(sid string) {
	if t.ids == nil {
		t.ids = make(map[string]struct{})
	}
	delete(t.ids, t.ring[t.next])
	t.ring[t.next] = sid
	t.ids[sid] = struct{}{}
	t.next = (t.next + 1) % len(t.ring)
}

func (t *tombstones) take(sid string) bool {
	_, ok := t.ids[sid]
	delete(t.ids, sid)
	return ok
}

// newID returns a session id that nobody can guess.
func newID() string {
	var random [15]byte
	rand.Read(random[:]) // never fails
	return base64.URLEncoding.EncodeToString(random[:])
}
