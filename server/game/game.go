// Package game holds the rules of the count: who sits where, which number is
// taken, what is written next, who is told.
//
// It is pure. Events go in as method calls, effects come out as a slice; there
// is no clock, goroutine, file or socket in here.
//
// The one rule: numbers.txt is at every moment a prefix of one, two, three, …
// It follows from two facts. A client counts in order, so a number n from a
// seat says that the seat has counted all of its numbers up to n, the ones
// whose packets were lost too. And the file says where the count is. Faithful
// mode does what the original server does instead, faults included.
package game

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"counting/server/protocol"
)

// Ahead is how far a number may lie beyond the last written one. It bounds
// what waits in memory while the other seat is empty or the disk is full.
const Ahead = 10_000

// MaxUnacked is how many acks one session may be owed. No client that counts
// comes near it: with Ahead numbers in flight a seat is owed half as many.
const MaxUnacked = 2 * Ahead

// Session names a Socket.IO session.
type Session string

// AckID is the ack id of a packet as it stood on the wire, or NoAck.
type AckID string

// NoAck is the AckID of a packet that asks for no ack.
const NoAck AckID = ""

// Game is the state of one game. It is not safe for concurrent use: one owner
// steps it and applies the effects in the order returned before the next step.
type Game struct {
	faithful bool
	sessions []Session // all who get broadcasts, in order of arrival
	waiting  []Session // held back until a seat falls free, first come first served
	holder   map[protocol.Seat]Session

	// next is, by seat, what client_assigned calls last_number. In default mode
	// it is always the highest number that the seat has reported, plus 2.
	next map[protocol.Seat]float64

	heard map[protocol.Seat]bool // whether its holder has reported a number

	// Lines are numbered as they are handed out to be written. In default mode
	// a line's number is also what it spells.
	appended int64
	written  int64
	owed     map[int64][]ack
	unacked  map[Session]int

	effects []Effect
}

type ack struct {
	session Session
	id      AckID
}

// New returns a game in default mode that goes on after a file holding the
// numbers 1 to lines.
func New(lines int64) *Game {
	g := newGame()
	g.appended, g.written = lines, lines
	for _, s := range protocol.Seats {
		next := lines + 1
		if protocol.SeatOf(next) != s {
			next++
		}
		g.next[s] = float64(next)
	}
	return g
}

// NewFaithful returns a game that plays as the original does: it starts from
// 1 and 2, writes every number as it comes, and leaves a third client idle.
func NewFaithful() *Game {
	g := newGame()
	g.faithful = true
	for _, s := range protocol.Seats {
		g.next[s] = float64(s.First())
	}
	return g
}

func newGame() *Game {
	return &Game{
		holder:  make(map[protocol.Seat]Session),
		next:    make(map[protocol.Seat]float64),
		heard:   make(map[protocol.Seat]bool),
		owed:    make(map[int64][]ack),
		unacked: make(map[Session]int),
	}
}

// Connect is the event of a session that asks to join. A session joins once;
// after Disconnect or a Refuse it may ask again.
func (g *Game) Connect(s Session) []Effect {
	g.effects = nil
	if slices.Contains(g.sessions, s) || slices.Contains(g.waiting, s) {
		return nil
	}
	if seat := g.freeSeat(); seat != protocol.NoSeat {
		g.seat(s, seat)
		return g.effects
	}
	g.do(Full{s})
	if g.faithful {
		g.sessions = append(g.sessions, s)
		g.do(Admit{s})
	} else {
		g.waiting = append(g.waiting, s)
		g.do(Hold{s})
	}
	return g.effects
}

// GiveUp is the event of a session that was held back for as long as it may
// be. It does nothing to a session that has been given a seat meanwhile.
func (g *Game) GiveUp(s Session) []Effect {
	g.effects = nil
	if i := slices.Index(g.waiting, s); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		g.do(Refuse{s, "both seats are taken"})
	}
	return g.effects
}

// Disconnect is the event of a session that leaves. The stop_game that this
// causes goes to the leaver too: one that left by a DISCONNECT packet still
// gets it.
func (g *Game) Disconnect(s Session) []Effect {
	g.effects = nil
	if i := slices.Index(g.waiting, s); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		return nil
	}
	i := slices.Index(g.sessions, s)
	if i < 0 {
		return nil
	}
	g.forget(s)
	if seat := g.seatOf(s); seat != protocol.NoSeat {
		delete(g.holder, seat)
		g.do(Left{s, seat})
	}
	if g.freeSeat() != protocol.NoSeat {
		g.do(Alone{})
		g.broadcast(protocol.StopGame)
	}
	g.sessions = slices.Delete(g.sessions, i, i+1)
	if seat := g.freeSeat(); seat != protocol.NoSeat && len(g.waiting) > 0 {
		first := g.waiting[0]
		g.waiting = slices.Delete(g.waiting, 0, 1)
		g.seat(first, seat)
	}
	return g.effects
}

// Number is the event of a client that counts. Its number may be any that JSON
// can hold within ±2^53.
func (g *Game) Number(s Session, clientID string, n float64, id AckID) []Effect {
	g.effects = nil
	if !slices.Contains(g.sessions, s) {
		g.refuse(s, id, NotJoined, "the session has not joined the game")
		return g.effects
	}
	seat := protocol.SeatNamed(clientID)
	if g.faithful {
		if seat != protocol.NoSeat {
			g.next[seat] = n + 2
		}
		g.do(Received{s, clientID, n})
		g.append(n)
		g.ackAt(g.appended, s, id)
		return g.effects
	}
	if code, reason := g.fault(s, seat, clientID, n); code != "" {
		g.refuse(s, id, code, reason)
		return g.effects
	}
	g.heard[seat] = true
	if n >= g.next[seat] {
		g.next[seat] = n + 2
		g.do(Received{s, clientID, n})
		for next := g.appended + 1; float64(next) < g.next[protocol.SeatOf(next)]; next++ {
			g.append(float64(next))
		}
	} else {
		g.do(Repeated{s, clientID, n})
	}
	g.ackAt(int64(n), s, id)
	return g.effects
}

// Malformed is the event of a number packet whose payload is no number.
func (g *Game) Malformed(s Session, reason string, id AckID) []Effect {
	g.effects = nil
	g.refuse(s, id, Malformed, reason)
	return g.effects
}

// Written is the event of the file holding every line up to the one with that
// number, counted as Append counts them; in default mode on stable storage.
func (g *Game) Written(line int64) []Effect {
	g.effects = nil
	for g.written < line {
		g.written++
		for _, a := range g.owed[g.written] {
			g.release(a)
			g.do(Ack{a.session, a.id, ""})
		}
		delete(g.owed, g.written)
	}
	return g.effects
}

// Dropped is the event of lines that will never be in the file, up to the one
// with that number: in faithful mode a failed write loses them, and nobody is
// told, as on the original.
func (g *Game) Dropped(line int64) {
	for g.written < line {
		g.written++
		for _, a := range g.owed[g.written] {
			g.release(a)
		}
		delete(g.owed, g.written)
	}
}

// fault says what is wrong with a number in default mode, or "".
func (g *Game) fault(s Session, seat protocol.Seat, clientID string, n float64) (Code, string) {
	switch {
	case seat == protocol.NoSeat:
		return NoSuchSeat, fmt.Sprintf("there is no seat %.40q", clientID)
	case g.holder[seat] != s:
		return NotItsSeat, fmt.Sprintf("the session does not hold the seat %s", seat)
	case n != math.Trunc(n):
		return NotWhole, fmt.Sprintf("number %s is not whole", decimal(n))
	case n < 1:
		return BelowOne, fmt.Sprintf("number %s is below 1", decimal(n))
	case n > float64(g.written+Ahead):
		return TooFarAhead, fmt.Sprintf("number %s is more than %d ahead of the file, which is at %d", decimal(n), Ahead, g.written)
	case protocol.SeatOf(int64(n)) != seat:
		return WrongParity, fmt.Sprintf("number %s is not one of %s's", decimal(n), seat)
	case g.unacked[s] >= MaxUnacked:
		return TooManyAcks, fmt.Sprintf("the session already waits for %d acks", MaxUnacked)
	}
	return "", ""
}

// decimal writes n without an exponent.
func decimal(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

func (g *Game) do(e Effect) { g.effects = append(g.effects, e) }

func (g *Game) append(n float64) {
	g.appended++
	g.do(Append{g.appended, n})
}

func (g *Game) broadcast(event string) {
	for _, s := range g.sessions {
		g.do(Emit{s, event, nil})
	}
}

func (g *Game) seat(s Session, seat protocol.Seat) {
	g.sessions = append(g.sessions, s)
	g.holder[seat], g.heard[seat] = s, false
	g.do(Seated{s, seat})
	g.do(Emit{s, protocol.ClientAssigned, protocol.Assignment{ClientID: seat.String(), LastNumber: whole(g.next[seat])}})
	if g.freeSeat() == protocol.NoSeat {
		g.broadcast(protocol.StartGame)
	}
	g.do(Admit{s})
}

func (g *Game) freeSeat() protocol.Seat {
	for _, seat := range protocol.Seats {
		if _, taken := g.holder[seat]; !taken {
			return seat
		}
	}
	return protocol.NoSeat
}

func (g *Game) seatOf(s Session) protocol.Seat {
	for seat, holder := range g.holder {
		if holder == s {
			return seat
		}
	}
	return protocol.NoSeat
}

// Stalls tells whether the count waits for this session: both seats are taken,
// the turn is its seat's, and it has not reported a number since it sat down.
func (g *Game) Stalls(s Session) bool {
	seat := g.seatOf(s)
	return !g.faithful && seat != protocol.NoSeat && g.freeSeat() == protocol.NoSeat &&
		seat == protocol.SeatOf(g.appended+1) && !g.heard[seat]
}

// Last returns the number of the last line that was handed out to be written.
func (g *Game) Last() int64 { return g.appended }

// Waiting returns how many sessions are held back until a seat falls free.
func (g *Game) Waiting() int { return len(g.waiting) }

// Taken returns how many seats are taken.
func (g *Game) Taken() int { return len(g.holder) }

// ackAt acks when that line is written, or now if it is.
func (g *Game) ackAt(line int64, s Session, id AckID) {
	switch {
	case id == NoAck:
	case line <= g.written:
		g.do(Ack{s, id, ""})
	default:
		g.owed[line] = append(g.owed[line], ack{s, id})
		g.unacked[s]++
	}
}

// refuse turns a number away. The original's handler raises: no ack then.
func (g *Game) refuse(s Session, id AckID, code Code, reason string) {
	g.do(Refused{s, code, reason})
	if !g.faithful && id != NoAck {
		g.do(Ack{s, id, reason})
	}
}

func (g *Game) release(a ack) {
	if g.unacked[a.session]--; g.unacked[a.session] <= 0 {
		delete(g.unacked, a.session)
	}
}

// forget drops the acks that are owed to a session.
func (g *Game) forget(s Session) {
	if g.unacked[s] == 0 {
		return
	}
	for line, acks := range g.owed {
		acks = slices.DeleteFunc(acks, func(a ack) bool { return a.session == s })
		if len(acks) == 0 {
			delete(g.owed, line)
		} else {
			g.owed[line] = acks
		}
	}
	delete(g.unacked, s)
}

func whole(n float64) protocol.Value {
	if n == math.Trunc(n) {
		return protocol.Int(int64(n))
	}
	return protocol.Float(n)
}
