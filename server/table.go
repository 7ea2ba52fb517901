package main

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"counting/server/game"
	"counting/server/numbersfile"
	"counting/server/protocol"
	"counting/server/socketio"
	"counting/server/spelling"
)

// holdTime is how long a client's "40" is held back while both seats are
// taken. A Python client gives up after 1 s, a Go client after 8 s.
const holdTime = 5 * time.Second

// table is the one owner of the game. It steps it and carries out the effects
// in the order returned before the next step. It is a socketio.Handler, and
// safe for concurrent use.
type table struct {
	log       *slog.Logger
	file      appender
	observers []observer
	patience  time.Duration // with a seat that does not begin to count; 0 has no end
	goal      int64         // when the count stands at it, there is nothing to wait for

	mu       sync.Mutex
	game     *game.Game
	sessions map[game.Session]*seatSeeker
	closed   bool
	moved    time.Time // when the last line was handed out, or a seat taken

	// unwritten are the numbers whose lines the file has not reported yet: the
	// first is that of line dealt+1.
	unwritten []appended
	dealt     int64
}

type appended struct {
	number float64
	at     time.Time
}

// observer is told what happens at the table, in order and under its lock: it
// must not wait, nor ask the table anything.
type observer interface {
	// Happened tells an effect of the kind that says what happened.
	Happened(effect game.Effect)
	// Written tells the numbers of the lines that have come into the file, and
	// how long the one that waited longest has waited for that.
	Written(numbers []float64, took time.Duration)
	// Storage tells that writing the file has begun to fail or works again.
	Storage(err error)
}

// appender takes the lines of the numbers file, in order. Append does not wait
// for the disk; the number that it returns is the game's, too.
type appender interface {
	Append(line string) int64
}

// seatSeeker is a session that the game knows, and the clock that runs while
// its "40" is held back.
type seatSeeker struct {
	*socketio.Session
	hold *time.Timer
}

// newTable returns a table whose file numbers the lines from last+1 on.
func newTable(g *game.Game, file appender, last int64, c config, log *slog.Logger, observers ...observer) *table {
	return &table{
		log:       log,
		file:      file,
		observers: observers,
		patience:  c.patience,
		goal:      c.goal,
		game:      g,
		sessions:  make(map[game.Session]*seatSeeker),
		dealt:     last,
	}
}

// Taken returns how many seats are taken, Waiting how many clients are held
// back until one falls free.
func (t *table) Taken() int   { return t.ask((*game.Game).Taken) }
func (t *table) Waiting() int { return t.ask((*game.Game).Waiting) }

func (t *table) ask(question func(*game.Game) int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return question(t.game)
}

func (t *table) Connect(s *socketio.Session) {
	t.step(func(g *game.Game) []game.Effect {
		t.sessions[game.Session(s.ID)] = &seatSeeker{Session: s}
		return g.Connect(game.Session(s.ID))
	})
}

// Event takes a number event; there is no other.
func (t *table) Event(s *socketio.Session, name string, args socketio.Args, ackID string) {
	if name != protocol.NumberEvent {
		t.log.Debug("unknown event", "event", fmt.Sprintf("%.80q", name), "session", s.ID)
		return
	}
	clientID, value, err := protocol.ParseNumber(args.JSON, args.Binary)
	if err != nil {
		t.Malformed(s, err.Error(), ackID)
		return
	}
	n := value.Float64()
	if n != math.Trunc(n) || math.Abs(n) > 1<<53 {
		if _, err := spelling.SpellFloat(n); err != nil { // it has over 300 digits
			t.Malformed(s, err.Error(), ackID)
			return
		}
	}
	t.step(func(g *game.Game) []game.Effect {
		return g.Number(game.Session(s.ID), clientID, n, game.AckID(ackID))
	})
}

func (t *table) Malformed(s *socketio.Session, reason, ackID string) {
	t.step(func(g *game.Game) []game.Effect {
		return g.Malformed(game.Session(s.ID), reason, game.AckID(ackID))
	})
}

// Heartbeat dismisses a client that is there but does not begin to count when
// it is its turn. A Python client whose connection breaks while it connects, or
// which is quick to count when it is back, loses its main thread: the others
// keep a seat for good. Told to leave, they end, and so the process does, which
// its supervisor starts again. A client that has counted in this session is
// never told: its main thread would wait for good.
func (t *table) Heartbeat(s *socketio.Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := game.Session(s.ID)
	if t.closed || t.patience == 0 || t.game.Last() == t.goal ||
		!t.game.Stalls(id) || time.Since(t.moved) < t.patience {
		return
	}
	t.log.Warn("Told a client to leave: it holds a seat and does not count.", t.who(id)...)
	s.Dismiss()
}

func (t *table) Disconnect(s *socketio.Session) {
	t.step(func(g *game.Game) []game.Effect { return g.Disconnect(game.Session(s.ID)) })
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(game.Session(s.ID))
}

// reports is how the file tells the table what became of the lines.
func (t *table) reports() numbersfile.Reports {
	return numbersfile.Reports{
		Written: func(upTo int64) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.apply(t.game.Written(upTo))
			numbers, oldest := t.deal(upTo)
			for _, o := range t.observers {
				o.Written(numbers, time.Since(oldest))
			}
		},
		Dropped: func(upTo int64, err error) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.game.Dropped(upTo)
			t.deal(upTo)
		},
		State: func(err error) {
			t.mu.Lock()
			defer t.mu.Unlock()
			for _, o := range t.observers {
				o.Storage(err)
			}
			if err != nil {
				t.log.Error(fmt.Sprintf("Cannot write the numbers file: %v", err))
			} else {
				t.log.Info("The numbers file can be written again.")
			}
		},
	}
}

// deal takes the lines up to that number off the unwritten ones. It returns
// their numbers, and when the first was appended.
func (t *table) deal(upTo int64) (numbers []float64, oldest time.Time) {
	n := upTo - t.dealt
	oldest = t.unwritten[0].at
	for _, a := range t.unwritten[:n] {
		numbers = append(numbers, a.number)
	}
	t.unwritten = slices.Delete(t.unwritten, 0, int(n))
	t.dealt = upTo
	return numbers, oldest
}

// Close makes the table deaf to sessions. What they were promised until then
// is still written and acked.
func (t *table) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, s := range t.sessions {
		s.stopHold()
	}
}

func (t *table) step(event func(*game.Game) []game.Effect) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.apply(event(t.game))
	}
}

func (t *table) apply(effects []game.Effect) {
	for _, effect := range effects {
		switch e := effect.(type) {
		case game.Append:
			t.moved = time.Now()
			if t.file.Append(spell(e.Number)) > 0 {
				t.unwritten = append(t.unwritten, appended{e.Number, t.moved})
			}
		case game.Emit:
			if e.Payload == nil {
				t.sessions[e.Session].Emit(e.Event)
			} else {
				t.sessions[e.Session].Emit(e.Event, e.Payload)
			}
		case game.Ack:
			s := t.sessions[e.Session]
			switch {
			case s == nil: // refused for not having joined
			case e.Error == "":
				s.Ack(string(e.ID))
			default:
				s.Ack(string(e.ID), protocol.Refusal{Error: e.Error})
			}
		case game.Admit:
			t.sessions[e.Session].stopHold()
			t.sessions[e.Session].Admit()
		case game.Hold:
			t.sessions[e.Session].hold = time.AfterFunc(holdTime, func() {
				t.step(func(g *game.Game) []game.Effect { return g.GiveUp(e.Session) })
			})
		case game.Refuse:
			t.sessions[e.Session].Refuse(e.Message)
			t.forget(e.Session)
		default:
			if _, seated := effect.(game.Seated); seated {
				t.moved = time.Now()
			}
			t.report(effect)
			for _, o := range t.observers {
				o.Happened(effect)
			}
		}
	}
}

// report logs what happened. The original's lines stand as the original
// prints them, so that what greps for them goes on working.
func (t *table) report(effect game.Effect) {
	switch e := effect.(type) {
	case game.Seated:
		t.log.Info(fmt.Sprintf("Client %s connected and assigned.", e.Seat), t.who(e.Session, "seat", e.Seat.String())...)
	case game.Full:
		t.log.Info("More than 2 clients attempted to connect, rejecting connection.", t.who(e.Session)...)
	case game.Left:
		t.log.Info(fmt.Sprintf("Client %s disconnected.", e.Seat), t.who(e.Session, "seat", e.Seat.String())...)
	case game.Alone:
		t.log.Info("Waiting for another client to connect...")
	case game.Received:
		t.log.Info(fmt.Sprintf("Received %s from %s", spell(e.Number), e.ClientID),
			t.who(e.Session, "seat", e.ClientID, "number", e.Number)...)
	case game.Repeated:
		t.log.Debug(fmt.Sprintf("%s repeated %s", e.ClientID, spell(e.Number)),
			t.who(e.Session, "seat", e.ClientID, "number", e.Number)...)
	case game.Refused:
		t.log.Warn("Refused a number: "+e.Reason, t.who(e.Session)...)
	}
}

// who adds the session and its address to a log line's fields.
func (t *table) who(s game.Session, fields ...any) []any {
	fields = append(fields, "session", string(s))
	if session := t.sessions[s]; session != nil {
		fields = append(fields, "address", session.Addr)
	}
	return fields
}

func (t *table) forget(s game.Session) {
	if session := t.sessions[s]; session != nil {
		session.stopHold()
		delete(t.sessions, s)
	}
}

func (s *seatSeeker) stopHold() {
	if s.hold != nil {
		s.hold.Stop()
	}
}

// spell never fails: Number and the edge let none in that has no spelling.
func spell(n float64) string {
	text, err := spelling.SpellFloat(n)
	if err != nil {
		panic(err)
	}
	return text
}
