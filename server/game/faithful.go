package game

import (
	"slices"

	"counting/server/protocol"
)

// MaxPending is how many bytes of lines may wait to be written in faithful
// mode, where a client may send any number at any time.
const MaxPending = 4 << 20

// lineOverhead is what a line costs in memory beside its text.
const lineOverhead = 128

// Faithful is the state of one game that is played as the original plays it: it
// starts from 1 and 2, writes every number as it comes, and leaves a third
// client without a seat. It differs in what it bounds: see MaxUnacked and
// MaxPending. It is not safe for concurrent use: see Game.
type Faithful struct {
	seats
	acks
	next     map[protocol.Seat]protocol.Value // what client_assigned calls last_number
	appended int64
	lines    []int // the sizes of the lines from written+1 on
	pending  int   // their sum
}

// NewFaithful returns a game that has not begun.
func NewFaithful() *Faithful {
	g := &Faithful{
		seats: newSeats(),
		acks:  newAcks(0),
		next:  make(map[protocol.Seat]protocol.Value),
	}
	for _, seat := range protocol.Seats {
		g.next[seat] = protocol.Int(seat.First())
	}
	return g
}

// Connect is the event of a session that asks to join. It joins once; after
// Disconnect it may ask again. The address does not matter.
func (g *Faithful) Connect(s Session, _ string) []Effect {
	g.effects = nil
	if g.in[s] {
		return nil
	}
	if seat := g.free(); seat != protocol.NoSeat {
		g.join(s, seat, g.next[seat])
		return g.effects
	}
	g.do(Full{s})
	g.enter(s)
	g.do(Admit{s})
	return g.effects
}

// GiveUp does nothing: no session is held back.
func (g *Faithful) GiveUp(Session) []Effect { return nil }

// Disconnect is the event of a session that leaves.
func (g *Faithful) Disconnect(s Session) []Effect {
	g.effects = nil
	if !g.in[s] {
		return nil
	}
	g.forget(s)
	g.leave(s)
	return g.effects
}

// Number is the event of a client that counts. n must have its Words, unless it
// has none. A number that has none is refused like one that is broken, but its
// seat goes on after it: the original moves on before it spells.
func (g *Faithful) Number(s Session, n Number, id AckID) []Effect {
	g.effects = nil
	if n.Err == nil && g.in[s] {
		if seat := protocol.SeatNamed(n.ClientID); seat != protocol.NoSeat {
			g.next[seat] = n.Value.Next()
		}
	}
	size := len(n.Words) + lineOverhead
	r := Refused{Session: s, Number: n}
	switch {
	case !g.in[s]:
		r.Code = NotJoined
	case n.Err != nil:
		r.Code = Malformed
	case n.Words == "":
		r.Code = NotSpelled
	case id != NoAck && g.count[s] >= MaxUnacked:
		r.Code = TooManyAcks
	case g.pending+size > MaxPending:
		r.Code = TooManyLines
	}
	if r.Code != "" {
		g.do(r) // the original's handler raises, and nothing is acked
		return g.effects
	}
	g.appended++
	g.lines = append(g.lines, size)
	g.pending += size
	g.do(Received{s, n})
	g.do(AppendLine{g.appended, n})
	if id != NoAck {
		g.owe(g.appended, s, id)
	}
	return g.effects
}

// Written is the event of the file holding every line up to the one with that
// number, counted as AppendLine counts them.
func (g *Faithful) Written(line int64) []Effect {
	g.effects = nil
	g.release(line)
	for _, ack := range g.settle(line) {
		g.do(Ack{Session: ack.session, ID: ack.id})
	}
	return g.effects
}

// Dropped is the event of lines that will never be in the file, up to the one
// with that number: a failed write loses them, and nobody is notified, as on the
// original.
func (g *Faithful) Dropped(line int64) {
	g.release(line)
	g.settle(line)
}

// release forgets the sizes of the lines up to that one.
func (g *Faithful) release(line int64) {
	n := int(line - g.written)
	for _, size := range g.lines[:n] {
		g.pending -= size
	}
	g.lines = slices.Delete(g.lines, 0, n)
}

// Turn returns no session: the count waits for nobody.
func (g *Faithful) Turn() Turn { return Turn{} }

// Waiting returns 0: no session is held back.
func (g *Faithful) Waiting() int { return 0 }
