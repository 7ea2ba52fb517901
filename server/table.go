package main

import (
	"fmt"
	"log/slog"
	"math"
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
	log  *slog.Logger
	file appender

	mu       sync.Mutex
	game     *game.Game
	sessions map[game.Session]*seatSeeker
	closed   bool
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

func newTable(g *game.Game, file appender, log *slog.Logger) *table {
	return &table{game: g, file: file, log: log, sessions: make(map[game.Session]*seatSeeker)}
}

func (t *table) Connect(s *socketio.Session) {
	t.step(func(g *game.Game) []game.Effect {
		t.sessions[game.Session(s.ID)] = &seatSeeker{Session: s}
		return g.Connect(game.Session(s.ID))
	})
}

func (t *table) Number(s *socketio.Session, clientID string, n float64, ackID string) {
	if n != math.Trunc(n) {
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
		},
		Dropped: func(upTo int64, err error) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.game.Dropped(upTo)
		},
		State: func(err error) {
			if err != nil {
				t.log.Error(fmt.Sprintf("Cannot write the numbers file: %v", err))
			} else {
				t.log.Info("The numbers file can be written again.")
			}
		},
	}
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
			t.file.Append(spell(e.Number))
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
			t.report(effect)
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
