package game

import (
	"slices"

	"counting/server/protocol"
)

// MaxPending is how many bytes of lines may wait to be written in faithful
// mode, where a client may send any number at any time.
const MaxPending = 4 << 20

// lineOverhead is the memory that a line takes in addition to its text.
const lineOverhead = 128

// Faithful is the state of one game with the original's rules: it starts from 1 and 2,
// writes every number as it arrives, and leaves a third client without a seat. Unlike
// the original it has limits: see MaxUnacked and MaxPending. It is not safe for
// concurrent use: see Game.
type Faithful struct {
	seats
	acks
	next     protocol.BySeat[protocol.Value] // last_number of client_assigned
	appended int64
	lines    []int // the sizes of the lines from written+1 on
	pending  int   // their sum
}

// NewFaithful returns a game that has not begun.
func NewFaithful() *Faithful {
	g := &Faithful{
		seats: newSeats(),
		acks:  newAcks(0),
	}
	for _, seat := range protocol.Seats {
		g.next[seat] = protocol.Int(seat.First())
	}
	return g
}

// Connect is called when a session asks to join. It joins once; after Disconnect it
// may ask again. The address is ignored.
func (g *Faithful) Connect(s Session, _ string) []Effect {
	g.begin()
	if g.in[s] {
		return nil
	}
	if seat := g.free(); seat != protocol.NoSeat {
		g.join(s, seat, g.next[seat])
		return g.effects
	}
	g.do(Full{s})
	g.addSession(s)
	g.do(Admit{s})
	return g.effects
}

// GiveUp does nothing: no session is held back.
func (g *Faithful) GiveUp(Session) []Effect { return nil }

// Disconnect is called when a session leaves.
func (g *Faithful) Disconnect(s Session) []Effect {
	g.begin()
	if !g.in[s] {
		return nil
	}
	g.forget(s)
	g.leave(s)
	return g.effects
}

// Number is called when a client has sent a number. n.Words must be set, unless Python
// cannot spell the number. Such a number is refused like a malformed one, but its seat
// continues after it: the original advances before it spells.
func (g *Faithful) Number(s Session, n Number, id AckID) []Effect {
	g.begin()
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
		r.Seat = g.seatOf(s)
		g.do(r) // the original's handler raises, and nothing is acked
		return g.effects
	}
	g.appended++
	g.lines = append(g.lines, size)
	g.pending += size
	g.do(Received{s, n})
	g.do(AppendLine{g.appended, n})
	if id != NoAck {
		g.addAck(g.appended, s, id)
	}
	return g.effects
}

// Written is called when every line up to the given one, as numbered by AppendLine, is
// in the file. It calls ack for each ack that is due now.
func (g *Faithful) Written(line int64, ack func(Session, AckID)) {
	g.release(line)
	g.takeAcks(line, ack)
}

// Dropped is called when the lines up to the given one were lost by a failed write. As
// in the original, clients are not notified.
func (g *Faithful) Dropped(line int64) {
	g.release(line)
	g.takeAcks(line, func(Session, AckID) {})
}

// release removes the sizes of the lines up to the given one.
func (g *Faithful) release(line int64) {
	n := int(line - g.written)
	for _, size := range g.lines[:n] {
		g.pending -= size
	}
	g.lines = slices.Delete(g.lines, 0, n)
}

// Turn returns no session: the count does not wait for a client.
func (g *Faithful) Turn() Turn { return Turn{} }

// Waiting returns 0: no session is held back.
func (g *Faithful) Waiting() int { return 0 }
