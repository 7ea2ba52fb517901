package counter

import (
	"fmt"
	"math"

	"counting/server/protocol"
)

// maxNumber is the greatest number that both servers read exactly from JSON.
const maxNumber = 1 << 53

// count is a client's state of the count and its decisions, without clock or socket.
// Events are reported by its methods and fields; turn and stage return what to do.
//
// # Where it continues
//
// acked is the highest number that this client got an ack for, in either seat: it and
// all lower numbers are in the file. The next number of a seat is the seat's first one
// above acked that is not below the server's last_number. In the same seat that is
// max(own next unacked number, last_number). In the other seat no number is skipped (57
// of client1 that was never acked implies nothing about 56 of client2), and no number in
// the file is counted again, whatever a server without its data assigns.
//
// # When it leaves
//
// A client that leaves stops the game, so a client must not leave before the limit is in
// the file. The ack of the limit shows that it is, so the client that gets it leaves, a
// moment later: the original writes and acks numbers as they arrive, and the peer may be
// a few numbers behind. The other client has no numbers left, but does not leave until
// the game has been stopped for a while: the game also stops if the peer's connection
// broke just before the last number, and a client that reconnects late finds no game.
//
// A server may assign a number beyond the limit although the limit is not in the file:
// it may hold numbers that were sent ahead of their turn. So the seat that counts the
// limit sends it, again if needed, until it gets the ack itself. With the original, which
// does not detect repetitions, that can double the last line.
type count struct {
	limit   int64
	acked   int64         // 0 before the first ack
	seat    protocol.Seat // NoSeat between sessions
	next    int64         // the seat's next number, above limit if none is left
	sent    int64         // the number whose ack is outstanding, or 0
	running bool          // between start_game and stop_game
	due     bool          // the interval since the last number is over
}

// assign sets the seat and the next number from the server's assignment.
func (c *count) assign(a protocol.Assignment) error {
	seat := protocol.SeatNamed(a.ClientID)
	if seat == protocol.NoSeat {
		return fmt.Errorf("the server assigned the seat %.40q, which does not exist", a.ClientID)
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

// ack records an ack of number n, of any session.
func (c *count) ack(n int64) {
	if n != c.sent {
		return
	}
	c.acked, c.sent = max(c.acked, n), 0
	c.next = max(c.next, n+2)
}

// refuse records that a number was refused. The client's state may be wrong, so the next
// number is determined only by the server's next assignment.
func (c *count) refuse() { c.acked = 0 }

// lose records the end of a session, and with it of the seat and the outstanding ack.
func (c *count) lose() {
	c.seat, c.sent, c.running, c.due = protocol.NoSeat, 0, false, false
}

// turn returns the number to send now and records it as sent, or returns 0.
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

// stage is the progress of a count.
type stage int

const (
	counting stage = iota // or waiting for a peer that may count
	idle                  // no numbers are left for the seat, and the game is stopped
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
