package counter

import (
	"fmt"
	"math"

	"counting/server/protocol"
)

// maxNumber is the greatest number that JSON's numbers hold exactly, as both
// servers read them.
const maxNumber = 1 << 53

// count is what a client knows of the count and decides from it, without
// clock or socket. What happened goes in through its methods and fields; turn
// and stage say what to do now.
//
// # Where it goes on
//
// acked is the highest number that this client had an ack for, in whatever
// seat: it is in the file, and so are all below it. The next number of a seat
// is the seat's first one above acked that is not below the server's
// last_number. In one seat that is max(own next unacked, last_number). In
// another seat nothing is skipped (57 of client1 that was never acked says
// nothing about 56 of client2) and nothing in the file is counted again,
// whatever a server that forgot everything says.
//
// # When it leaves
//
// Whoever leaves stops the game, so nobody may leave before the limit is in
// the file. Its ack says that it is; so the client that gets it may leave (and
// does a moment later: the original writes and acks numbers as they come, and
// the peer may be a few behind). The other one has nothing left to count,
// which is no reason to leave: it waits until the game has stood still for a
// while. For a while, because the game also stops if the peer's connection
// broke just before the last number, and because a client that comes back late
// finds no game at all.
//
// A server may say that the limit was counted without its being in the file:
// it holds numbers that came ahead of their turn. So the seat whose number is
// the limit counts it, again if need be, until it has the ack itself. Against
// the original, which knows no repetition, that can double the last line.
type count struct {
	limit   int64
	acked   int64         // 0 before the first ack
	seat    protocol.Seat // NoSeat between sessions
	next    int64         // the seat's next number, above limit if none is left
	sent    int64         // the number whose ack is waited for, or 0
	running bool          // between start_game and stop_game
	due     bool          // the interval since the last number is over
}

// assign takes the seat and the number that the server says is next.
func (c *count) assign(a protocol.Assignment) error {
	seat := protocol.SeatNamed(a.ClientID)
	if seat == protocol.NoSeat {
		return fmt.Errorf("the server assigned the seat %.40q, which there is not", a.ClientID)
	}
	last := a.LastNumber.Float64()
	if last > maxNumber {
		return fmt.Errorf("the server assigned the number %g, which is too great", last)
	}
	next := max(c.acked+1, int64(math.Ceil(max(last, 0))), seat.First())
	if protocol.SeatOf(next) != seat {
		next++
	}
	c.seat, c.next, c.sent = seat, next, 0
	return nil
}

// ack takes an ack of number n, of whatever session.
func (c *count) ack(n int64) {
	if n != c.sent {
		return
	}
	c.acked, c.sent = max(c.acked, n), 0
	c.next = max(c.next, n+2)
}

// refuse takes a refusal of a number. The server knows better than the client
// what comes next, so that is forgotten until the server says it again.
func (c *count) refuse() { c.acked = 0 }

// lose takes the end of a session, with which the ack that is waited for and
// the seat are gone.
func (c *count) lose() {
	c.seat, c.sent, c.running, c.due = protocol.NoSeat, 0, false, false
}

// turn returns the number to send now, and takes it as sent, or returns 0.
func (c *count) turn() int64 {
	n := c.next
	if n > c.limit {
		if protocol.SeatOf(c.limit) != c.seat || c.stage() == ended {
			return 0
		}
		n = c.limit
	}
	if c.seat == protocol.NoSeat || !c.running || !c.due || c.sent != 0 {
		return 0
	}
	c.sent, c.due = n, false
	return n
}

// stage is how far a count is.
type stage int

const (
	counting stage = iota // or waiting for a peer that may count
	idle                  // nothing is left for the seat, and the game stands still
	ended                 // the limit is known to be in the file
)

func (c *count) stage() stage {
	switch {
	case c.acked >= c.limit:
		return ended
	case c.seat != protocol.NoSeat && c.next > c.limit && !c.running:
		return idle
	}
	return counting
}
