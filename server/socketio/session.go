package socketio

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	engine "github.com/zishang520/engine.io-go-parser/packet"
	"github.com/zishang520/engine.io/v2/types"
	"github.com/zishang520/socket.io/v2/socket"
)

// settle is the time between the first packet that a session is sent before
// "40" and what follows it, "40" included. The Python client handles each packet
// in a thread of its own. At its first connect it reads what it was assigned
// when the thread of "40" is done, which may be the first to run; at a reconnect
// it sends a number when start_game is handled, and fails if "40" is not. The
// original leaves 40 ms after client_assigned by chance: its small segments wait
// for the client's delayed TCP acknowledgement.
const settle = 40 * time.Millisecond

// Session is one client on namespace "/". Its methods may be called at any
// time, also by several goroutines; none of them waits for the client, and on
// a session that is gone they do nothing. What one session is sent arrives in
// the order of the calls.
type Session struct {
	// ID is the Socket.IO session id, known to this client and the server.
	ID string
	// Addr is the client's network address.
	Addr string

	socket *socket.Socket
	next   func(*socket.ExtendedError)

	ticket      *ticket
	mostWaiting int           // packets; 0 is no limit
	waiting     *atomic.Int64 // packets that the connection's transport has not been handed
	overfull    func(*Session)

	mu      sync.Mutex
	state   state
	told    bool     // the first packet before "40" is out
	before  []string // the others before "40", until settle is over
	full    bool     // too much waits: the connection is being closed
	backlog []string // sent between Admit and the library's "40"
	corked  corkable // the transport on which "40" and what is just before it wait for each other, or nil
	joined  chan struct{}
}

type state int

const (
	connecting state = iota // what is sent goes out before "40"
	admitting               // "40" is on its way, what is sent waits for it
	admitted
	gone
)

func newSession(sock *socket.Socket, next func(*socket.ExtendedError), d *decoder) *Session {
	s := &Session{
		ID:     string(sock.Id()),
		Addr:   sock.Conn().RemoteAddress(),
		socket: sock,
		next:   next,
		joined: make(chan struct{}),

		ticket:      ticketOf(sock.Conn()),
		mostWaiting: d.server.limits.Waiting,
		waiting:     &d.waiting,
		overfull:    d.overfull,
	}
	sock.SetData(s)
	s.ticket.setJoined(true)
	return s
}

// Emit sends an event with its payloads, which json.Marshal must take.
func (s *Session) Emit(event string, payload ...any) {
	s.send("2" + encode(append([]any{event}, payload...)))
}

// Ack answers the packet with that ack id.
func (s *Session) Ack(id string, payload ...any) {
	if payload == nil {
		payload = []any{}
	}
	s.send("3" + id + encode(payload))
}

// Admit lets the session join: it gets "40" behind all that was emitted to it
// so far, and before all that is emitted from now on. The library sends it in
// a goroutine of its own and then calls joinedNow.
func (s *Session) Admit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != connecting {
		return
	}
	s.state = admitting
	if !s.told {
		s.next(nil)
		return
	}
	time.AfterFunc(settle, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		// At a reconnect the Python client plays from start_game on, and fails
		// for good if "40" comes with another poll and it is quick.
		if s.state == admitting {
			if t, ok := s.socket.Conn().Transport().(corkable); ok {
				s.corked = t
				t.setCork(true)
			}
		}
		for _, text := range s.before {
			s.write(text)
		}
		s.before = nil
		s.next(nil)
	})
}

// Refuse turns the session away with "44", which ends it. The client may ask
// again, for another session.
func (s *Session) Refuse(message string) {
	s.end()
	s.write("4" + encode(map[string]string{"message": message}))
}

// Dismiss tells the client to leave, with "41". The session ends when it does.
func (s *Session) Dismiss() { s.send("1") }

// Close cuts the connection. The session ends as when the client cuts it.
func (s *Session) Close() {
	go s.socket.Conn().Close(true) // the caller holds locks
}

// invited tells whether Admit was called.
func (s *Session) invited() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == admitting || s.state == admitted
}

// refused tells whether Refuse was called.
func (s *Session) refused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == gone
}

// joinedNow is called when the library has just sent "40".
func (s *Session) joinedNow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != admitting {
		return
	}
	for _, text := range s.backlog {
		s.write(text)
	}
	s.state, s.backlog = admitted, nil
	s.uncork()
	close(s.joined)
}

// end makes the session deaf to what is sent from now on.
func (s *Session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.backlog = gone, nil
	s.uncork()
	s.ticket.setJoined(false)
}

// uncork sends what waited. The caller holds the lock.
func (s *Session) uncork() {
	if s.corked != nil {
		s.corked.setCork(false)
		s.corked.Emit("ready") // as the transport does when it is no longer busy
		s.corked = nil
	}
}

func encode(payload any) string {
	text, err := json.Marshal(payload)
	if err != nil {
		panic("socketio: payload cannot be sent as JSON: " + err.Error())
	}
	return string(text)
}

func (s *Session) send(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return
	}
	if s.mostWaiting > 0 && int(s.waiting.Load())+len(s.before)+len(s.backlog) >= s.mostWaiting {
		s.full = true
		s.overfull(s)
		return
	}
	switch s.state {
	case connecting:
		if s.told {
			s.before = append(s.before, text)
			return
		}
		s.told = true
		s.write(text)
	case admitted:
		s.write(text)
	case admitting:
		s.backlog = append(s.backlog, text)
	}
}

// write hands a Socket.IO packet to Engine.IO, which queues it. Each packet is
// written to each session by itself: the library's own broadcast drops what is
// queued behind it on a WebSocket.
func (s *Session) write(text string) {
	s.waiting.Add(1)
	s.socket.Conn().Write(types.NewStringBufferString(text), &engine.Options{}, nil)
}
