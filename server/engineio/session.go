package engineio

import (
	"container/list"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"counting/server/clientaddr"
)

// Session is one client's connection, over either transport. Its methods are safe
// for concurrent use and never wait for the client. What is sent arrives in the order
// of the calls; after the session has ended, the methods do nothing.
type Session struct {
	server     *Server
	id         string
	addr       string
	addressKey netip.Addr
	group      string

	// Guarded by Server.mu.
	beat      *list.Element // in Server.pongs if pinged, else in Server.pings
	pinged    bool
	idle      [3]*list.Element // in its pools, while the session may be evicted
	idleSince time.Time
	released  bool

	calls   sync.Mutex // held while the handler is called
	handler Handler    // nil after Close was called; guarded by calls

	handled atomic.Int64 // packets

	debtMu sync.Mutex
	debt   debt

	mu       sync.Mutex
	ending   bool // Close is about to be called, or was
	over     bool // nothing more is queued
	settled  bool // nothing more is reserved
	posted   bool // it was ended by a POST request
	told     bool // a request was refused because it is ending
	corks    int
	queue    []packet
	cost     int64        // of the queue, and of what is being written
	reserved int64        // by the handler
	waiting  *waitingPoll // the request that waits for something to be sent; nil while probing is set
	probing  *conn        // the WebSocket of an upgrade that has been probed
	conn     *conn        // the WebSocket that is the transport; nil while polling
}

func newSession(server *Server, r *http.Request) *Session {
	address := server.options.Trusted.Of(r)
	addr := address.String()
	if !address.IsValid() {
		addr = r.RemoteAddr
	}
	s := &Session{
		server:     server,
		id:         newID(),
		addr:       addr,
		addressKey: clientaddr.Key(address),
	}
	s.calls.Lock() // until open
	return s
}

// open obtains the session's handler, or ends the session if its handshake has
// failed. Calls of the handler wait for it.
func (s *Session) open(ok bool) {
	if ok {
		s.handler = s.server.accept(s)
	}
	s.calls.Unlock()
	if !ok {
		s.end("the handshake failed")
	}
}

// ID returns the session's id. It is secret: anybody who knows it can send as the client.
func (s *Session) ID() string { return s.id }

// Addr returns the client's network address, without a port.
func (s *Session) Addr() string { return s.addr }

// Group returns the group that Options.Admit named, or "".
func (s *Session) Group() string { return s.group }

// Send sends a text message.
func (s *Session) Send(text string) { s.send(packet{data: string(typeMessage) + text}) }

// SendBinary sends a binary message.
func (s *Session) SendBinary(data []byte) { s.send(packet{data: string(data), binary: true}) }

// Cork buffers what is sent until Uncork, so that it goes out in one write or one
// poll. Calls nest.
func (s *Session) Cork() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corks++
}

// Uncork ends what Cork began.
func (s *Session) Uncork() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corks--
	s.flush()
}

// Reserve counts bytes that the handler keeps after Message returns, of messages or ack
// ids, against Limits.Receiving; a negative number releases them, and so does the end of
// the session. If the limit would be exceeded, it counts nothing and returns an error.
func (s *Session) Reserve(bytes int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settled {
		return nil
	}
	size := s.reserved + int64(bytes)
	if err := s.server.receiving.resize(s.addressKey, s.reserved, size); err != nil {
		s.server.options.OnLimit(LimitReceiving)
		return err
	}
	s.reserved = size
	return nil
}

// SetJoined records whether the client has joined something, for instance a
// namespace. A session that has joined nothing is evicted in favor of a new session
// when a limit is reached, and is closed after Options.JoinTimeout.
func (s *Session) SetJoined(joined bool) {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.slots.setIdle(s, !joined)
}

// Close ends the session and closes its connection, after what was sent so far.
// The handler's Close is called later, by another goroutine.
func (s *Session) Close(reason string) { s.end(reason) }

// openPacket returns the OPEN packet of the handshake.
func (s *Session) openPacket(transport string) packet {
	upgrades := []string{"websocket"}
	if transport == "websocket" {
		upgrades = []string{}
	}
	o := s.server.options
	text, err := json.Marshal(struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingTimeout  int64    `json:"pingTimeout"`
		PingInterval int64    `json:"pingInterval"`
		MaxPayload   int      `json:"maxPayload"`
	}{s.id, upgrades, o.PingTimeout.Milliseconds(), o.PingInterval.Milliseconds(), o.MaxPayload})
	if err != nil {
		panic(err)
	}
	return packet{data: string(typeOpen) + string(text)}
}

// call calls f with the handler, unless the session was closed. net/http would
// recover a panic of the handler and continue in an unknown state, so the panic is
// repeated in another goroutine, where it ends the process.
func (s *Session) call(f func(Handler)) {
	s.calls.Lock()
	defer s.calls.Unlock()
	if s.handler == nil {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			text := fmt.Sprintf("%v\n\n%s", r, debug.Stack())
			go panic(text)
			select {}
		}
	}()
	f(s.handler)
}

// yieldEvery is how many packets are handled before the goroutine yields. Otherwise
// sessions that always have packets to handle would be preempted only every 10 ms, and
// all others would wait for them. Yielding four times as often takes 4 % of the
// throughput.
const yieldEvery = 64

// packet handles one packet of the client, in order. It returns an error if a client
// may not send such a packet; the caller decides what follows, by transport.
func (s *Session) packet(kind byte, data []byte, binary bool) error {
	if s.handled.Add(1)%yieldEvery == 0 {
		runtime.Gosched()
	}
	defer s.throttle(len(data))
	switch {
	case binary || kind == typeMessage:
		s.call(func(h Handler) { h.Message(data, binary) })
	case kind == typePong:
		s.server.pong(s)
		s.call(Handler.Heartbeat)
	case kind == typeUpgrade:
		s.send(noop)
	case kind == typeClose:
		if s.beginEnd() {
			s.finish("the client left", true)
		}
	default:
		return fmt.Errorf("a client may not send a packet of type %q", kind)
	}
	return nil
}

// send queues a packet and sends it if that is possible now. It ends a session that
// exceeds a limit, since its client does not read.
func (s *Session) send(p packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	limits := s.server.options.Limits
	var reached Limit
	if limits.PacketsPerSession > 0 && len(s.queue) >= limits.PacketsPerSession {
		reached = LimitPackets
	} else if s.server.sending.resize(s.addressKey, s.cost, s.cost+p.cost()) != nil {
		reached = LimitSending
	}
	if reached != "" {
		s.discard()
		s.over = true
		if s.conn != nil {
			s.conn.close()
		}
		s.server.options.OnLimit(reached)
		s.server.options.Log.Warn("ended a session that does not take what it is sent", "limit", string(reached), "group", s.group, "address", s.addr)
		if !s.ending {
			s.ending = true
			go s.finish("it does not take what it is sent", false)
		}
		return
	}
	s.cost += p.cost()
	s.queue = append(s.queue, p)
	s.flush()
}

// flush passes what is queued to the transport, if one is ready. The caller holds
// s.mu.
func (s *Session) flush() {
	switch {
	case s.corks > 0 || len(s.queue) == 0:
	case s.conn != nil:
		s.conn.write()
	case s.waiting != nil:
		s.answerWaiting(s.take())
	}
}

// maxPolled is the most packets that one poll is answered with. python-socketio's
// client rejects more, and ends its session.
const maxPolled = 16

// take removes and returns the packets for the next poll. The caller holds s.mu.
func (s *Session) take() []packet {
	n := min(len(s.queue), maxPolled)
	packets := slices.Clone(s.queue[:n])
	if s.queue = slices.Delete(s.queue, 0, n); len(s.queue) == 0 {
		s.empty()
	} else if cap(s.queue) > 256 && len(s.queue) < cap(s.queue)/4 { // the budget does not count it
		s.queue = slices.Clone(s.queue)
	}
	var cost int64
	for _, p := range packets {
		cost += p.cost()
	}
	s.setCost(s.cost - cost)
	return packets
}

// empty empties the queue after its packets were delivered. It keeps only a small
// backing array, since the budget no longer counts it. The caller holds s.mu.
func (s *Session) empty() {
	clear(s.queue)
	if s.queue = s.queue[:0]; cap(s.queue) > 256 {
		s.queue = nil
	}
}

// setCost changes what the budget counts for the session, unless that would exceed it. The
// caller holds s.mu.
func (s *Session) setCost(cost int64) {
	s.server.sending.resize(s.addressKey, s.cost, cost)
	s.cost = cost
}

// discard drops what is queued. The caller holds s.mu.
func (s *Session) discard() {
	s.queue = nil
	s.setCost(0)
}

// beginEnd marks the session as ending, and reports whether the caller must call
// finish.
func (s *Session) beginEnd() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.ending
	s.ending = true
	return first
}

// end ends the session. It does not wait, so it may be called by the handler and with
// locks held that the handler takes.
func (s *Session) end(reason string) {
	if s.beginEnd() {
		go s.finish(reason, false)
	}
}

// finish removes the session, calls the handler's Close, sends what is queued and
// closes the transport. A client that left by a CLOSE packet still gets what the
// handler sends it. The slot is released before Close is called, so that other clients
// that are notified of the end can connect.
func (s *Session) finish(reason string, left bool) {
	s.mu.Lock()
	s.over = !left
	s.server.forget(s, s.posted && s.waiting == nil && !s.told)
	s.mu.Unlock()
	s.call(func(h Handler) {
		s.handler = nil
		h.Close(reason)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server.receiving.resize(s.addressKey, s.reserved, 0)
	s.settled = true
	s.over, s.corks = true, 0
	if s.conn == nil && s.waiting != nil {
		packets := s.take()
		if len(packets) == 0 {
			packets = []packet{noop}
		}
		s.answerWaiting(packets)
	}
	for _, c := range []*conn{s.conn, s.probing} {
		if c != nil {
			c.finish()
		}
	}
	if s.conn == nil || s.conn.dead {
		s.discard()
	}
}

// pending reports whether data for a WebSocket was not yet passed to the kernel.
func (s *Session) pending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != nil && !s.conn.dead && (s.conn.writing || len(s.queue) > 0)
}
