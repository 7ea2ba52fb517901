// Package engineio serves Engine.IO 4: sessions that exchange text and binary
// messages over HTTP long-polling or WebSocket, can upgrade from the first to
// the second, and are kept alive by a heartbeat.
//
// Where a client can see it, the server does what python-engineio 4.3 does, down
// to statuses and words; where the official test suite of the protocol asks for
// more, it does that. What one client sends, or leaves out, can end or delay no
// other session: nothing in this package waits for a client while it holds
// anything that others need, and what clients can make the server keep is
// bounded by Limits.
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

// Handler gets what one session sends. The calls come one at a time and in
// order, Close last. A handler that blocks holds up its own session and no other.
// A panic of a handler ends the process: it would leave the application half-way
// through a step.
type Handler interface {
	// Message: the client has sent a message. The data is valid until Message
	// returns.
	Message(data []byte, binary bool)
	// Heartbeat: the client has sent a PONG.
	Heartbeat()
	// Close: the session is leaving or gone, for that reason. What is sent to a
	// session that leaves by a CLOSE packet, before Close returns, reaches it.
	Close(reason string)
}

// Options configure a Server. The zero value of each has the meaning that is
// given here.
type Options struct {
	// PingInterval is the time from one answered ping to the next ping, and
	// PingTimeout how long a client may take to answer one. They are 25 s and
	// 20 s unless set. Clients are told both at the handshake.
	PingInterval, PingTimeout time.Duration
	// MaxPayload bounds a request body, a packet and a WebSocket message, in
	// bytes; 1,000,000 unless set. Clients are told it at the handshake.
	MaxPayload int
	// MaxPackets bounds the packets in one polling request body; a body with more
	// is answered 200 and ignored, as python-engineio does with more than 16. 0 is
	// no limit.
	MaxPackets int
	// JoinTimeout, if it is not 0, is how long a session may go without having
	// joined anything (see Session.SetJoined) before it is closed.
	JoinTimeout time.Duration
	// Origins are the values of the Origin header that are accepted. If there are
	// none, all are.
	Origins []string
	// Authorize, if it is not nil, decides whether a handshake is accepted; if
	// not, it is answered 401. It may be called concurrently.
	Authorize func(*http.Request) bool
	// Admit, if it is not nil, is called with each handshake that is sound and
	// authorized. It either calls open, once, with the group that the session belongs
	// to, as Session.Group and Limits count it, or answers the request itself: see
	// Refuse. It may be called concurrently, and holds up nobody else while it waits.
	Admit func(w http.ResponseWriter, r *http.Request, open func(group string))
	// Unknown, if it is not nil, answers the requests of sessions that are not, and
	// were not lately, open here: see RefuseSession.
	Unknown http.Handler
	// Trusted are the proxies whose X-Forwarded-For header is believed.
	Trusted clientaddr.Trusted
	Limits  Limits
	// OnLimit, if it is not nil, is called whenever a limit is reached. It may be
	// called concurrently, and must not block.
	OnLimit func(Limit)
	// Log, if it is not nil, gets what an operator may want to know.
	Log *slog.Logger
}

// Server serves Engine.IO. It is an http.Handler for every path that it is
// given, and safe for concurrent use.
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
	over     tombstones
	slots    slots
	pings    deadlines // sessions that will be pinged
	pongs    deadlines // sessions that have to answer a ping
}

// New returns a server that calls accept with each new session, before anything
// that the session sends is handled, to learn who handles it. accept may be called
// concurrently. What it sends to the session follows the handshake. The server must
// be closed after use.
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

// Usage returns how many bytes the budgets Receiving and Sending count now.
func (s *Server) Usage() (receiving, sending int64) {
	return s.receiving.inUse(), s.sending.inUse()
}

// Close stops the heartbeat. It neither ends sessions nor refuses new ones: stop
// serving first, and close the connections afterwards.
func (s *Server) Close() { s.closeOnce.Do(func() { close(s.closed) }) }

// Pending returns how many sessions on a WebSocket have not been handed all that
// was sent to them.
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

// ServeHTTP serves a request of a client. What python-engineio refuses is
// refused here for the same reasons, in the same order and words.
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
		session, over := s.session(sid)
		switch {
		case over:
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
			// A proxy has taken the upgrade away. As a poll it would take what the
			// session's next poll is to bring, from a client that does not read it.
			refuse(w, http.StatusBadRequest, "Invalid transport")
		default:
			session.poll(w, r, jsonp)
		}
	}
}

// session returns the open session with that id, or whether it has just ended.
func (s *Server) session(sid string) (_ *Session, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if session := s.sessions[sid]; session != nil {
		return session, false
	}
	return nil, s.over.take(sid)
}

// forget removes a session. If no request was there to be told that it has ended,
// the next one is.
func (s *Server) forget(session *Session, unanswered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopBeat(session)
	s.slots.release(session)
	delete(s.sessions, session.id)
	if unanswered {
		s.over.add(session.id)
	}
}

// handshake opens a session, unless that is refused.
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
		victim.end("it gave way to another session")
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
	s.options.Log.Debug("refused a session", "limit", string(reached), "address", session.Addr())
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
// there to be told so. As in python-engineio, the next request of such a session
// is answered 500, and later ones as if it had never been.
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
