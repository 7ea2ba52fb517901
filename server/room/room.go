// Package room owns one game: it steps the rules, carries out their effects, and
// notifies observers and the log.
//
// Under the room's lock, in the order of the effects that the rules return, what is sent
// is queued and numbers are appended. Acks are written to the sockets after that, without
// the lock. Notifications go through a bounded queue, which one goroutine at a time
// empties, so that an observer or a log that is slow or blocked delays nothing else. If
// the queue is full, notifications are dropped and counted; those of written lines are
// merged instead, and in default mode never dropped.
package room

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"counting/server/game"
	"counting/server/protocol"
	"counting/server/store"
)

// HoldTime is how long a client's "40" is held back while both seats are taken. A
// Python client gives up after 1 s, a Go client after 8 s.
const HoldTime = 5 * time.Second

// A Session is one client. Its methods must not wait for the client or call the
// room, and do nothing on a session that has ended. What a session is sent must
// arrive in the order of the calls.
type Session interface {
	// Emit sends an event with its payloads, which json.Marshal must take.
	Emit(event string, payload ...any)
	// Ack answers the packet with that ack id.
	Ack(id string, payload ...any)
	// Admit lets the session join. What was emitted before is sent first.
	Admit()
	// Refuse refuses the session, instead of Admit.
	Refuse(message string)
	// Dismiss asks the client to leave.
	Dismiss()
	// Close closes the client's connection. Room.Disconnect follows.
	Close()
	// Owe is called when the number of acks that wait for their lines has changed.
	Owe(acks int)
	// Slow delays a client's packets if its numbers are often refused.
	Slow()
	// Cork buffers what is sent until Uncork, which sends it in one write.
	Cork()
	Uncork()
}

// Rules are the rules of a game, in either mode: see package game.
type Rules interface {
	Connect(s game.Session, address string) []game.Effect
	GiveUp(s game.Session) []game.Effect
	Disconnect(s game.Session) []game.Effect
	Number(s game.Session, n game.Number, id game.AckID) []game.Effect
	Unacked(s game.Session) int
	Written(line int64, ack func(game.Session, game.AckID))
	Turn() game.Turn
	Taken() []protocol.Seat
	Waiting() int
}

// A Count stores the numbers that were counted: see store.Count. Append does not
// wait for the disk.
type Count interface{ Append(upTo int64) }

// Lines replaces Count in faithful mode. AppendLine does not wait for the disk.
type Lines interface{ AppendLine(line string) }

// Options configure New.
type Options struct {
	Count     Count
	Lines     Lines // in faithful mode
	Last      int64 // the last number in Count
	Observers []Observer
	Log       *slog.Logger // nil means none
	// StallTimeout is how long a client may delay the count: see Heartbeat. 0 means
	// no limit.
	StallTimeout time.Duration
	// Fail is called, under the room's lock, when a step has panicked. The game and
	// the file may be inconsistent then, so nothing more is counted or acked, and the
	// process should end: its next start reads the file.
	Fail func(error)
}

// Room is the only owner of a game. Its methods may be called concurrently, but
// calls for one session must be made one at a time, Connect first and Disconnect
// last.
type Room struct {
	Options

	mu           sync.Mutex
	rules        Rules
	sessions     map[game.Session]*member
	closed       bool      // session events are ignored
	failed       bool      // all events are ignored
	lastProgress time.Time // when a line was last appended or a seat taken
	removed      int       // how many clients were asked to leave or cut off since the last line
	notices      notices
	spare        []notice      // an empty queue for the next notices
	reporting    bool          // report runs, will soon, or has done so for the last time
	finished     chan struct{} // of Finish
	corked       []*member     // until the lock is released
	committed    int64         // the last line that was written
	lines        []float64     // in faithful mode, the numbers of the lines after that
	numbers      numberLog
}

// member is a session in the game.
type member struct {
	Session
	id        game.Session
	address   string
	hold      *time.Timer // runs while its "40" is held back
	counted   int64       // how many of its numbers were accepted
	dismissed bool
	corked    bool // it is in Room.corked
}

// New returns a room for rules that have not been stepped yet.
func New(rules Rules, o Options) *Room {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Room{
		Options:   o,
		rules:     rules,
		sessions:  make(map[game.Session]*member),
		committed: o.Last,
	}
}

// Taken returns how many seats are taken.
func (r *Room) Taken() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.rules.Taken())
}

// Waiting returns how many clients are held back until a seat is vacated.
func (r *Room) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rules.Waiting()
}

// Written returns the last line that was written. It includes every line that was
// acked before the call.
func (r *Room) Written() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.committed
}

// Connect is called when a session from a network address asks to join. The session
// is connecting until the room calls its Admit, Refuse or Close. A closed room calls
// Close.
func (r *Room) Connect(id, address string, s Session) {
	open := false
	r.step(func() []game.Effect {
		open = true
		r.sessions[game.Session(id)] = &member{Session: s, id: game.Session(id), address: address}
		return r.rules.Connect(game.Session(id), network(address))
	})
	if !open {
		s.Close()
	}
}

// Number is called when a session has sent a number event. args and binary are those
// of protocol.ParseNumber; ackID is "" if the packet does not ask for an ack.
func (r *Room) Number(id string, args []string, binary bool, ackID string) {
	var n game.Number
	n.ClientID, n.Value, n.Err = protocol.ParseNumber(args, binary)
	if _, faithful := r.rules.(*game.Faithful); faithful && n.Err == nil {
		n.Words, _ = words(n.Value)
	}
	r.step(func() []game.Effect {
		effects := r.rules.Number(game.Session(id), n, game.AckID(ackID))
		if m := r.sessions[game.Session(id)]; m != nil {
			r.owe(m)
		}
		return effects
	})
}

// Disconnect is called when a session is leaving or has ended. What the room emits to
// it may still reach it.
func (r *Room) Disconnect(id string) {
	r.step(func() []game.Effect {
		r.apply(r.rules.Disconnect(game.Session(id)))
		r.forget(game.Session(id))
		return nil
	})
}

// Callbacks returns the functions for Count.Run.
func (r *Room) Callbacks() store.Callbacks {
	return store.Callbacks{
		OnCommit: func(upTo int64, took time.Duration) {
			r.do(func() {
				r.rules.Written(upTo, r.ack)
				from := r.committed + 1
				r.notices.written(from, upTo, r.takeCommitted(upTo), took)
			})
		},
		OnHealth: func(err error) { r.do(func() { r.notices.add(notice{event: storage{err}}) }) },
	}
}

// Dropped is called in faithful mode when the lines up to upTo could not be written.
func (r *Room) Dropped(upTo int64) {
	r.do(func() {
		r.rules.(*game.Faithful).Dropped(upTo)
		for _, m := range r.sessions {
			r.owe(m)
		}
		r.takeCommitted(upTo)
	})
}

// takeCommitted advances committed to upTo and, in faithful mode, removes and returns
// the numbers of these lines.
func (r *Room) takeCommitted(upTo int64) (numbers []float64) {
	if n := upTo - r.committed; len(r.lines) > 0 {
		numbers, r.lines = r.lines[:n:n], r.lines[n:]
	}
	r.committed = upTo
	return numbers
}

// Close makes the room ignore session events. Numbers that were accepted before are
// still written and acked.
func (r *Room) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, s := range r.sessions {
		s.stopHold()
	}
}

// CutOff closes the room and the connections of all its clients, which reconnect to
// the room's successor.
func (r *Room) CutOff() {
	r.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sessions {
		s.Session.Close()
	}
}

// step handles one event of a session.
func (r *Room) step(event func() []game.Effect) {
	var refused []game.Ack
	r.do(func() {
		if !r.closed {
			refused = r.apply(event())
		}
	})
	for _, ack := range refused { // the reasons are formatted without the lock
		r.mu.Lock()
		s := r.sessions[ack.Session]
		r.mu.Unlock()
		if s != nil {
			s.Ack(string(ack.ID), protocol.Refusal{Error: ack.Refused.Reason()})
		}
	}
}

// do calls change under the lock. What it has to report is then reported by another
// goroutine. A panic in change ends the room.
func (r *Room) do(change func()) {
	for _, s := range r.locked(change) {
		s.Uncork()
	}
}

// locked is do without its last part: it returns the sessions that were corked. They are
// uncorked without the lock, since that writes to the network.
func (r *Room) locked(change func()) (corked []*member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed {
		return nil
	}
	defer func() {
		r.startReporting()
		if p := recover(); p != nil {
			r.failed = true
			r.Fail(fmt.Errorf("a step of the game panicked: %v; this is a bug, restart the server to go on from the file\n%s", p, debug.Stack()))
		}
	}()
	change()
	corked, r.corked = r.corked, nil
	for _, m := range corked {
		m.corked = false
		r.owe(m)
	}
	return corked
}
