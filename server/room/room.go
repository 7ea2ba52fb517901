// Package room owns one game: it steps the rules, carries out their effects, and
// tells observers and the log what happened.
//
// Two things are kept apart. What counts, which is to send, to append and to
// ack, is done under the room's lock, in the order that the rules return. What
// only tells goes through a bounded queue that one goroutine empties, so that
// an observer or a log that is slow, or stands still, holds up nothing. If the
// queue is full, what happened is dropped and counted; lines that were written
// are never dropped, as they take no room in it.
package room

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"counting/server/game"
	"counting/server/protocol"
	"counting/server/store"
)

// HoldTime is how long a client's "40" is held back while both seats are
// taken. A Python client gives up after 1 s, a Go client after 8 s.
const HoldTime = 5 * time.Second

// A Session is one client. None of its methods may wait for the client or call
// the room, and on a session that is gone they do nothing. What a session is
// sent must arrive in the order of the calls.
type Session interface {
	// Emit sends an event with its payloads, which json.Marshal must take.
	Emit(event string, payload ...any)
	// Ack answers the packet with that ack id.
	Ack(id string, payload ...any)
	// Admit lets the session join, after what was emitted to it before.
	Admit()
	// Refuse turns the session away, in place of Admit.
	Refuse(message string)
	// Dismiss asks the client to leave.
	Dismiss()
	// Close cuts the client's connection. Room.Disconnect follows.
	Close()
	// Slow slows down a client whose number was refused, if that happens often.
	Slow()
	// Cork holds back what is sent until Uncork, so that it goes out together.
	Cork()
	Uncork()
}

// Rules are those of a game, in either mode: see package game.
type Rules interface {
	Connect(s game.Session, address string) []game.Effect
	GiveUp(s game.Session) []game.Effect
	Disconnect(s game.Session) []game.Effect
	Number(s game.Session, n game.Number, id game.AckID) []game.Effect
	Written(line int64) []game.Effect
	Turn() game.Turn
	Taken() []protocol.Seat
	Waiting() int
}

// A Count takes the numbers that are counted, all up to that one. Append does not
// wait for the disk.
type Count interface{ Append(upTo int64) }

// Lines take the place of a Count in faithful mode. AppendLine does not wait for
// the disk.
type Lines interface{ AppendLine(line string) }

// Options are for New.
type Options struct {
	Count     Count
	Lines     Lines // in faithful mode
	Last      int64 // the last number in Count
	Observers []Observer
	Log       *slog.Logger
	// Patience is how long a client may hold up the count: see Heartbeat. 0 has
	// no end.
	Patience time.Duration
	// Fail is called, under the room's lock, when a step has panicked. What the
	// game and the file hold may differ from then on, so nothing more is counted
	// or acked, and the process should end: its next start reads the file.
	Fail func(error)
}

// Room is the one owner of a game. Its methods may be called by any number of
// goroutines. Calls for one session must come one at a time, Connect first and
// Disconnect last.
type Room struct {
	Options
	wake chan struct{} // has one element when there may be notices

	mu       sync.Mutex
	rules    Rules
	sessions map[game.Session]*member
	closed   bool      // session events are ignored
	failed   bool      // all events are
	moved    time.Time // when the last line was handed out, or a seat taken
	removed  int       // how many clients were asked to leave or cut off since the last line
	notices  notices
	reported int64     // the last line that was written
	lines    []float64 // in faithful mode, the numbers of the lines after that

	// counted is how many numbers the session on each seat has sent. Run alone
	// uses it.
	counted map[protocol.Seat]int64
}

// member is a session that the game knows.
type member struct {
	Session
	address   string
	hold      *time.Timer // runs while its "40" is held back
	dismissed bool
}

// New returns the room of a game that was stepped by nobody yet. Its Run must be
// called.
func New(rules Rules, o Options) *Room {
	return &Room{
		Options:  o,
		wake:     make(chan struct{}, 1),
		rules:    rules,
		sessions: make(map[game.Session]*member),
		reported: o.Last,
		counted:  make(map[protocol.Seat]int64),
	}
}

// Taken returns how many seats are taken.
func (r *Room) Taken() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.rules.Taken())
}

// Waiting returns how many clients are held back until a seat falls free.
func (r *Room) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rules.Waiting()
}

// Written returns the last line that was written. It is not behind any ack.
func (r *Room) Written() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reported
}

// Connect is the event of a session that asks to join, from a network address.
// It stays connecting until the room calls its Admit, Refuse or Close. A room that
// is closed cuts it off.
func (r *Room) Connect(id, address string, s Session) {
	open := false
	r.step(func() []game.Effect {
		open = true
		r.sessions[game.Session(id)] = &member{Session: s, address: address}
		return r.rules.Connect(game.Session(id), network(address))
	})
	if !open {
		s.Close()
	}
}

// Number is the event of a session that sent a number event with these
// arguments, as protocol.ParseNumber takes them. ackID is "" if its packet asks
// for no ack.
func (r *Room) Number(id string, args []string, binary bool, ackID string) {
	var n game.Number
	n.ClientID, n.Value, n.Err = protocol.ParseNumber(args, binary)
	if _, faithful := r.rules.(*game.Faithful); faithful && n.Err == nil {
		n.Words, _ = words(n.Value)
	}
	r.step(func() []game.Effect {
		return r.rules.Number(game.Session(id), n, game.AckID(ackID))
	})
}

// Disconnect is the event of a session that is leaving or gone. What the room
// emits to it may still reach it.
func (r *Room) Disconnect(id string) {
	r.step(func() []game.Effect {
		r.apply(r.rules.Disconnect(game.Session(id)))
		r.forget(game.Session(id))
		return nil
	})
}

// Reports returns the functions that the count, or what takes its place, calls.
func (r *Room) Reports() store.Reports {
	return store.Reports{
		Written: func(upTo int64, took time.Duration) {
			r.do(func() {
				r.apply(r.rules.Written(upTo))
				from := r.reported + 1
				r.notices.written(from, upTo, r.take(upTo), took)
			})
		},
		State: func(err error) { r.do(func() { r.notices.add(notice{storage: &storage{err}}) }) },
	}
}

// Dropped is the event of lines, in faithful mode, that will never be written.
func (r *Room) Dropped(upTo int64, _ error) {
	r.do(func() {
		r.rules.(*game.Faithful).Dropped(upTo)
		r.take(upTo)
	})
}

// take takes the lines up to that number off the ones that wait to be written,
// and returns their numbers in faithful mode.
func (r *Room) take(upTo int64) (numbers []float64) {
	if n := upTo - r.reported; len(r.lines) > 0 {
		numbers, r.lines = r.lines[:n:n], r.lines[n:]
	}
	r.reported = upTo
	return numbers
}

// Close makes the room ignore session events. What was promised until then is
// still written and acked.
func (r *Room) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, s := range r.sessions {
		s.stopHold()
	}
}

// CutOff closes the room and cuts the connections of all its clients. They come
// back and find the room that has taken its place.
func (r *Room) CutOff() {
	r.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sessions {
		s.Session.Close()
	}
}

// step carries out one event of a session.
func (r *Room) step(event func() []game.Effect) {
	var refused []game.Ack
	r.do(func() {
		if !r.closed {
			refused = r.apply(event())
		}
	})
	for _, ack := range refused { // they are put into words without the lock
		r.mu.Lock()
		s := r.sessions[ack.Session]
		r.mu.Unlock()
		if s != nil {
			s.Ack(string(ack.ID), protocol.Refusal{Error: ack.Refused.Reason()})
		}
	}
}

// do does something under the lock, and wakes who tells of it. A panic in it is
// the end of the room.
func (r *Room) do(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			r.failed = true
			r.Fail(fmt.Errorf("a step of the game panicked: %v; this is a bug, restart the server to go on from the file\n%s", p, debug.Stack()))
		}
	}()
	change()
	if r.notices.waiting() {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// apply carries out effects in order. It returns the acks of numbers that were
// refused, which are left to do.
func (r *Room) apply(effects []game.Effect) (refused []game.Ack) {
	if len(effects) > 1 {
		defer r.cork(effects)()
	}
	for _, effect := range effects {
		switch e := effect.(type) {
		case game.Append:
			r.moved, r.removed = time.Now(), 0
			r.Count.Append(e.UpTo)
		case game.AppendLine:
			r.lines = append(r.lines, e.Number.Value.Float64())
			r.Lines.AppendLine(e.Number.Words)
		case game.Emit:
			if e.Payload == nil {
				r.sessions[e.Session].Emit(e.Event)
			} else {
				r.sessions[e.Session].Emit(e.Event, e.Payload)
			}
		case game.Ack:
			if e.Refused != nil {
				refused = append(refused, e)
			} else {
				r.sessions[e.Session].Ack(string(e.ID))
			}
		case game.Admit:
			r.sessions[e.Session].stopHold()
			r.sessions[e.Session].Admit()
		case game.Hold:
			r.sessions[e.Session].hold = time.AfterFunc(HoldTime, func() {
				r.step(func() []game.Effect { return r.rules.GiveUp(e.Session) })
			})
			r.endStall()
		case game.Refuse:
			r.sessions[e.Session].Refuse(e.Message)
			r.forget(e.Session)
		case game.Received: // for the log alone
			if r.Log.Enabled(context.Background(), slog.LevelInfo) {
				r.happened(e.Session, e)
			}
		case game.Repeated:
			r.happened(e.Session, e)
		case game.Refused:
			if m := r.sessions[e.Session]; m != nil {
				m.Slow()
			}
			r.happened(e.Session, e)
		case game.Seated:
			r.moved = time.Now()
			r.happened(e.Session, e)
		case game.Full:
			r.happened(e.Session, e)
		case game.Left:
			r.happened(e.Session, e)
		default:
			r.happened("", e)
		}
	}
	return refused
}

// cork lets the acks among the effects go out in one write for each session. The
// function that it returns sends them.
func (r *Room) cork(effects []game.Effect) (uncork func()) {
	var corked []*member
	for _, effect := range effects {
		ack, ok := effect.(game.Ack)
		if m := r.sessions[ack.Session]; ok && m != nil && !slices.Contains(corked, m) {
			m.Cork()
			corked = append(corked, m)
		}
	}
	return func() {
		for _, m := range corked {
			m.Uncork()
		}
	}
}

func (r *Room) happened(s game.Session, event any) {
	n := notice{event: event, session: string(s)}
	if m := r.sessions[s]; m != nil {
		n.address = m.address
	}
	r.notices.add(n)
}

func (r *Room) forget(s game.Session) {
	if m := r.sessions[s]; m != nil {
		m.stopHold()
		delete(r.sessions, s)
	}
}

func (m *member) stopHold() {
	if m.hold != nil {
		m.hold.Stop()
	}
}
