// Package game holds the rules of the count: who sits where, which number is
// taken, what is written next, who is sent what.
//
// It is pure. Events go in as method calls, effects come out as a slice; there
// is no clock, goroutine, file or socket in here.
//
// The one rule: numbers.txt is at every moment a prefix of one, two, three, …
// It follows from two facts. A client counts in order, so a number n from a
// seat says that the seat has counted all of its numbers up to n, the ones
// whose packets were lost too. And the file says where the count is. Game keeps
// the rule; Faithful does what the original server does instead, faults
// included.
package game

import (
	"math"

	"counting/server/protocol"
)

// Ahead is how far a number may lie beyond the last written one. It bounds
// what waits in memory while the other seat is empty or the disk is full.
const Ahead = 10_000

// Session names a Socket.IO session.
type Session string

// AckID is the ack id of a packet as it stood on the wire, or NoAck.
type AckID string

// NoAck is the AckID of a packet that asks for no ack.
const NoAck AckID = ""

// A Number is what a number event said.
type Number struct {
	ClientID string
	Value    protocol.Value
	// Words is how Python spells Value. It is for Faithful alone, and empty if
	// Python does not.
	Words string
	// Err says what is wrong with the event's arguments. The other fields are
	// empty then.
	Err error
}

// Game is the state of one game. It is not safe for concurrent use: one owner
// steps it and applies the effects in the order returned before the next step.
type Game struct {
	seats
	acks
	waiting queue // held back until a seat falls free

	// address is whose connections they are that hold the seats or, for a seat
	// that is free, held it last.
	address map[protocol.Seat]string
	// next is by seat the highest number that its holder has reported, plus 2.
	next map[protocol.Seat]int64
	// heard is by seat whether its holder has reported a number.
	heard map[protocol.Seat]bool
	// limit is the last number of the count, or 0 if it has none.
	limit int64
	// appended is the last number that was handed out to be written. It is also
	// the number of its line.
	appended int64
}

// New returns a game that goes on after a file holding the numbers 1 to last.
func New(last int64) *Game {
	g := &Game{
		seats:    newSeats(),
		acks:     newAcks(last),
		waiting:  newQueue(),
		address:  make(map[protocol.Seat]string),
		next:     make(map[protocol.Seat]int64),
		heard:    make(map[protocol.Seat]bool),
		appended: last,
	}
	for _, seat := range protocol.Seats {
		g.next[seat] = g.due(seat)
	}
	return g
}

// EndAt sets the last number of the count, before the first event; 0 is none.
// Numbers beyond it are refused. When it has been counted, clients are no longer
// sent start_game: those that are started again stay, connected and idle.
func (g *Game) EndAt(limit int64) {
	g.limit = limit
	g.over = g.ended()
}

func (g *Game) ended() bool { return g.limit > 0 && g.appended >= g.limit }

// due returns the first number of a seat that was not handed out yet.
func (g *Game) due(seat protocol.Seat) int64 {
	n := g.appended + 1
	if protocol.SeatOf(n) != seat {
		n++
	}
	return n
}

// Connect is the event of a session that asks to join. A session joins once;
// after Disconnect or a Refuse it may ask again. The address is whose it is: a
// seat that falls free goes to others first than those who hold the other one
// or held this one last.
func (g *Game) Connect(s Session, address string) []Effect {
	g.effects = nil
	if g.in[s] || g.waiting.has(s) {
		return nil
	}
	if seat := g.free(); seat != protocol.NoSeat {
		g.seat(guest{s, address}, seat)
		return g.effects
	}
	g.waiting.push(guest{s, address})
	g.do(Full{s})
	g.do(Hold{s})
	return g.effects
}

// GiveUp is the event of a session that was held back for as long as it may
// be. It does nothing to a session that has been given a seat meanwhile.
func (g *Game) GiveUp(s Session) []Effect {
	g.effects = nil
	if g.waiting.remove(s) {
		g.do(Refuse{s, "both seats are taken"})
	}
	return g.effects
}

// Disconnect is the event of a session that leaves. What it has reported beyond
// the lines that were handed out is forgotten: nobody was acked for it, and a
// client that has counted it reports it again.
func (g *Game) Disconnect(s Session) []Effect {
	g.effects = nil
	if g.waiting.remove(s) || !g.in[s] {
		return nil
	}
	g.forget(s)
	seat := g.leave(s)
	g.next[seat] = g.due(seat)
	if first, ok := g.waiting.pop(g.hasSeat); ok {
		g.seat(first, seat)
	}
	return g.effects
}

// Number is the event of a client that counts.
func (g *Game) Number(s Session, n Number, id AckID) []Effect {
	g.effects = nil
	seat := protocol.SeatNamed(n.ClientID)
	number, _ := n.Value.Int64()
	if code := g.fault(s, seat, n); code != "" {
		r := Refused{s, code, n, g.written}
		g.do(r)
		if id != NoAck {
			g.do(Ack{s, id, &r})
		}
		return g.effects
	}
	g.heard[seat] = true
	if number < g.next[seat] {
		g.do(Repeated{s, n})
	} else {
		g.next[seat] = number + 2
		g.do(Received{s, n})
		before := g.appended
		for g.appended+1 < g.next[protocol.SeatOf(g.appended+1)] {
			g.appended++
		}
		if g.appended > before {
			g.do(Append{g.appended})
			g.over = g.ended()
		}
	}
	switch {
	case id == NoAck:
	case number <= g.written:
		g.do(Ack{Session: s, ID: id})
	default:
		g.owe(number, s, id)
	}
	return g.effects
}

// Written is the event of the file holding every number up to that one, on
// stable storage.
func (g *Game) Written(n int64) []Effect {
	g.effects = nil
	for _, ack := range g.settle(n) {
		g.do(Ack{Session: ack.session, ID: ack.id})
	}
	return g.effects
}

// fault says what is wrong with a number, or "".
func (g *Game) fault(s Session, seat protocol.Seat, n Number) Code {
	number, exact := n.Value.Int64()
	near := n.Value.Float64()
	switch {
	case !g.in[s]:
		return NotJoined
	case n.Err != nil:
		return Malformed
	case seat == protocol.NoSeat:
		return NoSuchSeat
	case g.holder[seat] != s:
		return NotItsSeat
	case near != math.Trunc(near):
		return NotWhole
	case near < 1:
		return BelowOne
	case g.limit > 0 && near > float64(g.limit):
		return BeyondTheEnd
	case !exact || number > g.written+Ahead:
		return TooFarAhead
	case protocol.SeatOf(number) != seat:
		return WrongParity
	case g.count[s] >= MaxUnacked:
		return TooManyAcks
	}
	return ""
}

// seat gives a session a seat.
func (g *Game) seat(s guest, seat protocol.Seat) {
	g.address[seat], g.heard[seat] = s.address, false
	g.join(s.session, seat, protocol.Int(g.next[seat]))
}

// hasSeat tells whether an address holds a seat or, of one that is free, held it
// last.
func (g *Game) hasSeat(address string) bool {
	for _, seat := range protocol.Seats {
		if a, taken := g.address[seat]; taken && a == address {
			return true
		}
	}
	return false
}

// A Turn says who holds up the count.
type Turn struct {
	// Session holds the seat whose number is next, or is "" while a seat is
	// free and when all is counted.
	Session Session
	// Heard is whether it has reported a number since it was given the seat.
	Heard bool
	// Awaited is whether the other seat has reported the number after.
	Awaited bool
}

// Turn returns whom the count waits for.
func (g *Game) Turn() Turn {
	n := g.appended + 1
	seat, other := protocol.SeatOf(n), protocol.SeatOf(n+1)
	if g.free() != protocol.NoSeat || g.over {
		return Turn{}
	}
	return Turn{Session: g.holder[seat], Heard: g.heard[seat], Awaited: g.next[other] > n+1}
}

// Waiting returns how many sessions are held back until a seat falls free.
func (g *Game) Waiting() int { return g.waiting.len() }
