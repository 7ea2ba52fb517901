package socketio

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"
)

// preConnectDelay is the time between the first packet that is sent before "40" and
// the following ones, including "40". The Python client handles each packet in its
// own thread. At its first connect it reads its assignment when the thread of "40" is
// done, which may run first; at a reconnect it sends a number when start_game is
// handled, and fails if "40" is not handled yet. In the original, 40 ms pass after
// client_assigned by chance: its small segments wait for the client's delayed TCP
// acknowledgement.
const preConnectDelay = 40 * time.Millisecond

// maxUnsent bounds the packets that are queued for a session before its "40".
const maxUnsent = 100

// ErrGone is passed to the callbacks of outstanding acks when the session ends.
var ErrGone = errors.New("the session has ended")

// Session is one client on one namespace. Its methods are safe for concurrent use,
// never wait for the client, and do nothing after the session has ended. What is sent
// arrives in the order of the calls.
type Session struct {
	// ID identifies the session in logs. It is not the client's sid, and not secret.
	ID string
	// Addr is the client's network address, without a port.
	Addr string
	// Value is for use by the Handler, which may set it in Connect.
	Value any

	connection *connection
	namespace  string
	auth       string

	mu         sync.Mutex
	state      state
	greeted    bool      // the first packet before "40" was sent
	preConnect []message // the others before "40", until the delay is over
	pending    []message // queued between Admit and "40"
	corked     bool      // "40" and the packets just before it are sent together
	library    *libraryConn
	lastAck    int
	acks       map[string]func(Args, error)
}

type state int

const (
	connecting state = iota // what is sent goes out before "40"
	admitting               // "40" is on its way, what is sent waits for it
	admitted
	gone
)

func newSession(c *connection, namespace, auth string) *Session {
	c.setJoined(1)
	return &Session{ID: newID(), Addr: c.engine.Addr(), connection: c, namespace: strings.Clone(namespace), auth: auth}
}

// Namespace returns the namespace's name.
func (s *Session) Namespace() string { return s.namespace }

// Auth returns the JSON text that the client sent with its CONNECT packet, or "". Only
// Handler.Connect may call it: the text may be long, and is not kept.
func (s *Session) Auth() string { return s.auth }

// Group returns the group that engineio.Options.Admit named.
func (s *Session) Group() string { return s.connection.engine.Group() }

// Emit sends an event with its payloads. Those of type []byte are sent as binary
// data, json.Marshal must take the others.
func (s *Session) Emit(event string, payload ...any) {
	s.send(s.encode(kindEvent, "", append([]any{event}, payload...)))
}

// EmitWithAck sends an event as Emit does, and asks for an ack. done is called
// once: with the ack's arguments, or with ErrGone when the session ends.
func (s *Session) EmitWithAck(done func(Args, error), event string, payload ...any) {
	s.mu.Lock()
	if s.state == gone {
		s.mu.Unlock()
		done(Args{}, ErrGone)
		return
	}
	s.lastAck++
	id := strconv.Itoa(s.lastAck)
	if s.acks == nil {
		s.acks = make(map[string]func(Args, error))
	}
	s.acks[id] = done
	s.mu.Unlock()
	s.send(s.encode(kindEvent, id, append([]any{event}, payload...)))
}

// Ack answers the packet with that ack id. It does nothing if the id is "".
func (s *Session) Ack(id string, payload ...any) {
	switch {
	case id == "":
	case len(payload) == 0 && s.namespace == "/":
		s.send(message{text: "3" + id + "[]"})
	default:
		s.send(s.encode(kindAck, id, payload))
	}
}

// acked calls the callback of an ack that the client has sent.
func (s *Session) acked(id string, args Args) {
	s.mu.Lock()
	done := s.acks[id]
	delete(s.acks, id)
	s.mu.Unlock()
	if done != nil {
		done(args, nil)
	}
}

// Admit lets the session join: "40" is sent after everything emitted so far, and
// before everything emitted from now on.
func (s *Session) Admit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != connecting {
		return
	}
	s.state = admitting
	if s.greeted {
		time.AfterFunc(preConnectDelay, s.join)
	} else {
		go s.join()
	}
}

// join has the library send "40". At a reconnect the Python client counts as soon as it
// gets start_game, and may fail if "40" arrives with a later poll, so both are sent
// together.
func (s *Session) join() {
	s.mu.Lock()
	if s.state != admitting {
		s.mu.Unlock()
		return
	}
	s.corked = true
	s.connection.engine.Cork()
	for _, m := range s.preConnect {
		s.write(m)
	}
	s.preConnect = nil
	s.mu.Unlock()

	library := s.connection.server.library.connect(s.ID, s.namespace, s.connected)
	s.mu.Lock()
	s.library = library
	ended := s.state == gone
	s.mu.Unlock()
	if ended {
		library.end()
	}
}

// connected is called with the library's answer, the "40".
func (s *Session) connected(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != admitting {
		return
	}
	s.state = admitted
	s.connection.engine.Send(text)
	for _, m := range s.pending {
		s.write(m)
	}
	s.pending = nil
	s.uncork()
}

// Refuse refuses the session with "44", which ends it. The client may try again with a
// new session.
func (s *Session) Refuse(text string) {
	s.end()
	s.connection.engine.Send(head(kindConnectError, s.namespace) + marshal(map[string]string{"message": text}))
}

// Dismiss asks the client to leave, with "41". The session ends when the client leaves.
func (s *Session) Dismiss() { s.send(message{text: head(kindDisconnect, s.namespace)}) }

// Close ends the connection of the client, and with it the sessions on all of its
// namespaces. Handler.Disconnect is called later, by another goroutine.
func (s *Session) Close() { s.connection.engine.Close("the server has ended it") }

// Reserve counts bytes that the handler keeps for the session, such as those of an ack id,
// against engineio's Limits.Receiving, until Reserve is called with the negative number or
// the connection ends. If the limit would be exceeded, it counts nothing and returns an
// error.
func (s *Session) Reserve(bytes int) error { return s.connection.engine.Reserve(bytes) }

// Slow must be called for an event that is refused. The packets of a client that sends
// many of those are delayed.
func (s *Session) Slow() { s.connection.engine.Slow(mistakeCost) }

// Cork buffers what is sent until Uncork, so that it is sent together. Calls nest.
func (s *Session) Cork() { s.connection.engine.Cork() }

// Uncork sends what was buffered since Cork.
func (s *Session) Uncork() { s.connection.engine.Uncork() }

// isGone reports whether the session was refused or has ended.
func (s *Session) isGone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == gone
}

// end ends the session. What is sent from now on is ignored.
func (s *Session) end() {
	s.mu.Lock()
	if s.state == gone {
		s.mu.Unlock()
		return
	}
	s.state, s.pending, s.preConnect = gone, nil, nil
	s.uncork()
	library, acks := s.library, s.acks
	s.acks = nil
	s.mu.Unlock()
	s.connection.setJoined(-1)
	library.end()
	for _, done := range acks {
		done(Args{}, ErrGone)
	}
}

// uncork sends what join has buffered. The caller holds s.mu.
func (s *Session) uncork() {
	if s.corked {
		s.corked = false
		s.connection.engine.Uncork()
	}
}

// message is a text message, and the attachments that follow it.
type message struct {
	text        string
	attachments [][]byte
}

func (s *Session) send(m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.preConnect)+len(s.pending) >= maxUnsent:
		s.connection.engine.Close("too much was sent to it before it was connected")
	case s.state == connecting && s.greeted:
		s.preConnect = append(s.preConnect, m)
	case s.state == admitting:
		s.pending = append(s.pending, m)
	case s.state == connecting, s.state == admitted:
		s.greeted = true
		s.write(m)
	}
}

func (s *Session) write(m message) {
	if len(m.attachments) == 0 {
		s.connection.engine.Send(m.text)
		return
	}
	s.connection.engine.Cork()
	defer s.connection.engine.Uncork()
	s.connection.engine.Send(m.text)
	for _, data := range m.attachments {
		s.connection.engine.SendBinary(data)
	}
}

// encode encodes payloads as a packet. Those of type []byte become attachments.
func (s *Session) encode(kind byte, id string, payload []any) message {
	var m message
	list := make([]any, len(payload))
	for i, value := range payload {
		if data, ok := value.([]byte); ok {
			value = placeholder{true, len(m.attachments)}
			m.attachments = append(m.attachments, data)
		}
		list[i] = value
	}
	if len(m.attachments) > 0 {
		kind += kindBinaryEvent - kindEvent // and from an ack to a binary one
		m.text = string(kind) + strconv.Itoa(len(m.attachments)) + "-" + head(0, s.namespace)[1:]
	} else {
		m.text = head(kind, s.namespace)
	}
	m.text += id + marshal(list)
	return m
}

type placeholder struct {
	Placeholder bool `json:"_placeholder"`
	Num         int  `json:"num"`
}

// head returns the beginning of a packet of that kind.
func head(kind byte, namespace string) string {
	if namespace == "/" {
		return string(kind)
	}
	return string(kind) + namespace + ","
}

func marshal(payload any) string {
	text, err := json.Marshal(payload)
	if err != nil {
		panic("socketio: payload cannot be sent as JSON: " + err.Error())
	}
	return string(text)
}

// newID returns a random ID for a session.
func newID() string { return strings.ToLower(rand.Text()[:16]) }
