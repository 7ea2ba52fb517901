// Package game implements the rules of the count: who holds which seat, which
// numbers are accepted, what is written next, and what is sent to whom.
//
// It is pure: events are method calls, effects are returned as a slice, which is valid
// until the next call. Acks of written lines are no effects: Written calls a function for
// each. It uses no clock, goroutine, file or socket.
//
// The invariant is that numbers.txt is always a prefix of one, two, three, … It
// follows from two facts. A client counts in order, so a number n from a seat implies
// that the seat has counted all of its numbers up to n, including those whose packets
// were lost. And the file determines where the count is. Game keeps the invariant;
// Faithful does what the original server does, including its faults.
package game

import (
	"math"

	"counting/server/protocol"
)

// Ahead is how far a number may be beyond the last written one. It bounds the memory
// for numbers that wait while the other seat is free or the disk is full.
const Ahead = 10_000

// Session identifies a Socket.IO session.
type Session string

// AckID is the ack id of a packet as it was sent, or NoAck.
type AckID string

// NoAck is the AckID of a packet that does not ask for an ack.
const NoAck AckID = ""

// A Number is the content of a number event.
type Number struct {
	ClientID string
	Value    protocol.Value
	// Words is how Python spells Value, or "" if Python cannot. Only Faithful uses it.
	Words string
	// Err, if non-nil, is what is wrong with the event's arguments. The other fields
	// are empty then.
	Err error
}

// Game is the state of one game. It is not safe for concurrent use: its owner must
// apply the effects of each step, in order, before the next step.
type Game struct {
	seats
	acks
	waiting queue // held back until a seat becomes free

	// address is the address of each seat's holder or, if it is free, last holder.
	address map[protocol.Seat]string
	// next is, for each seat, the highest number that its holder has reported, plus 2.
	next protocol.BySeat[int64]
	// heard is, for each seat, whether its holder has reported a number.
	heard protocol.BySeat[bool]
	// limit is the last number of the count, or 0 for no limit.
	limit int64
	// appended is the last number that was appended, which is also its line.
	appended int64
}

// New returns a game that continues after a file holding the numbers 1 to last.
func New(last int64) *Game {
	g := &Game{
		seats:    newSeats(),
		acks:     newAcks(last),
		waiting:  newQueue(),
		address:  make(map[protocol.Seat]string),
		appended: last,
	}
	for _, seat := range protocol.Seats {
		g.next[seat] = g.due(seat)
	}
	return g
}

// EndAt sets the last number of the count; 0 means no limit. It must be called before
// the first event. Greater numbers are refused. After the last number, start_game is
// no longer sent: clients that are restarted stay connected and idle.
func (g *Game) EndAt(limit int64) {
	g.limit = limit
	g.over = g.ended()
}

func (g *Game) ended() bool { return g.limit > 0 && g.appended >= g.limit }

// due returns the first number of a seat that was not appended yet.
func (g *Game) due(seat protocol.Seat) int64 {
	n := g.appended + 1
	if protocol.SeatOf(n) != seat {
		n++
	}
	return n
}

// Connect is called when a session asks to join. A session joins once; after
// Disconnect or a Refuse it may ask again. The address identifies the client: a seat
// that becomes free is preferably given to an address that neither holds the other
// seat nor was the last to hold this one.
func (g *Game) Connect(s Session, address string) []Effect {
	g.begin()
	if g.in[s] || g.waiting.has(s) {
		return nil
	}
	if seat := g.free(); seat != protocol.NoSeat {
		g.seat(waiter{s, address}, seat)
		return g.effects
	}
	g.waiting.push(waiter{s, address})
	g.do(Full{s})
	g.do(Hold{s})
	return g.effects
}

// GiveUp is called when a session was held back for the longest time allowed. It does
// nothing if the session has been given a seat in the meantime.
func (g *Game) GiveUp(s Session) []Effect {
	g.begin()
	if g.waiting.remove(s) {
		g.do(Refuse{s, "both seats are taken"})
	}
	return g.effects
}

// Disconnect is called when a session leaves. Numbers that it has reported and that
// were not appended yet are discarded: they were not acked, and a client that has
// counted them reports them again.
func (g *Game) Disconnect(s Session) []Effect {
	g.begin()
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

// Number is called when a client has sent a number.
func (g *Game) Number(s Session, n Number, id AckID) []Effect {
	g.begin()
	seat := protocol.SeatNamed(n.ClientID)
	number, _ := n.Value.Int64()
	if code := g.fault(s, seat, n); code != "" {
		r := Refused{s, g.seatOf(s), code, n, g.written}
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
		g.addAck(number, s, id)
	}
	return g.effects
}

// Written is called when every number up to n is in the file, on stable storage. It calls
// ack for each ack that is due now.
func (g *Game) Written(n int64, ack func(Session, AckID)) { g.takeAcks(n, ack) }

// fault returns why a number is refused, or "".
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
func (g *Game) seat(s waiter, seat protocol.Seat) {
	g.address[seat], g.heard[seat] = s.address, false
	g.join(s.session, seat, protocol.Int(g.next[seat]))
}

// hasSeat reports whether an address holds a seat, or was the last to hold one that is
// free.
func (g *Game) hasSeat(address string) bool {
	for _, seat := range protocol.Seats {
		if a, taken := g.address[seat]; taken && a == address {
			return true
		}
	}
	return false
}

// A Turn describes the client that the count waits for.
type Turn struct {
	// Session holds the seat whose number is next, or is "" while a seat is free and
	// after the last number of the count.
	Session Session
	// Heard is whether it has reported a number since it was given the seat.
	Heard bool
	// Awaited is whether the other seat has already reported the following number.
	Awaited bool
}

// Turn returns which client the count waits for.
func (g *Game) Turn() Turn {
	n := g.appended + 1
	seat, other := protocol.SeatOf(n), protocol.SeatOf(n+1)
	if g.free() != protocol.NoSeat || g.over {
		return Turn{}
	}
	return Turn{Session: g.holder[seat], Heard: g.heard[seat], Awaited: g.next[other] > n+1}
}

// Waiting returns how many sessions are held back until a seat becomes free.
func (g *Game) Waiting() int { return g.waiting.len() }
