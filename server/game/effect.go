package game

import (
	"fmt"

	"counting/server/protocol"
)

// Effect is a result of a step, which the owner carries out. Those of the first group
// concern sessions and the file; those of the second are notifications, for the log.
type Effect interface{ effect() }

type (
	// Emit sends an event to one session. Payload is nil or a
	// protocol.Assignment.
	Emit struct {
		Session Session
		Event   string
		Payload any
	}
	// Admit sends the session its CONNECT packet, "40", after everything that was
	// emitted to it before.
	Admit struct{ Session Session }
	// Hold delays the session's CONNECT packet. The owner calls GiveUp after the
	// longest time that a session may wait.
	Hold struct{ Session Session }
	// Refuse sends the session a CONNECT_ERROR packet, "44", instead of "40".
	Refuse struct {
		Session Session
		Message string
	}
	// Ack answers the number packet with that id: with an empty list, or with a
	// protocol.Refusal if the number was Refused.
	Ack struct {
		Session Session
		ID      AckID
		Refused *Refused
	}
	// Append appends the spellings of all numbers after those of the last Append, up to
	// UpTo, to the file. The owner calls Written when they are stored.
	Append struct{ UpTo int64 }
	// AppendLine appends the Words of a number to the file. Lines are numbered from 1;
	// the owner calls Written or Dropped.
	AppendLine struct {
		Line   int64
		Number Number
	}
)

type (
	// Seated: the session was given a seat.
	Seated struct {
		Session Session
		Seat    protocol.Seat
	}
	// Full: a session asked to join while both seats were taken.
	Full struct{ Session Session }
	// Left: the session that held the seat has left.
	Left struct {
		Session Session
		Seat    protocol.Seat
	}
	// Alone: somebody left, and a seat is free.
	Alone struct{}
	// Received: a number was accepted.
	Received struct {
		Session Session
		Number  Number
	}
	// Repeated: a seat has sent a number that it had reported before.
	Repeated struct {
		Session Session
		Number  Number
	}
	// Refused: a number was refused. Seat is the one that the session holds, which need
	// not be the one that it named. Code is one of Codes, for metrics; Reason is for
	// people. Last is the last number in the file.
	Refused struct {
		Session Session
		Seat    protocol.Seat
		Code    Code
		Number  Number
		Last    int64
	}
)

// Reason describes what is wrong with the number.
func (r Refused) Reason() string {
	n := fmt.Sprintf("number %.40s", r.Number.Value)
	switch r.Code {
	case NotJoined:
		return "the session has not joined the game"
	case Malformed:
		return r.Number.Err.Error()
	case NoSuchSeat:
		return fmt.Sprintf("there is no seat %.40q", r.Number.ClientID)
	case NotItsSeat:
		return fmt.Sprintf("the session does not hold the seat %s", r.Number.ClientID)
	case NotWhole:
		return n + " is not whole"
	case BelowOne:
		return n + " is below 1"
	case BeyondTheEnd:
		return n + " is beyond the last number of the count"
	case TooFarAhead:
		return fmt.Sprintf("%s is more than %d ahead of the file, which is at %d", n, Ahead, r.Last)
	case WrongParity:
		return fmt.Sprintf("%s is not one of %s's", n, r.Number.ClientID)
	case TooManyAcks:
		return fmt.Sprintf("the session already waits for %d acks", MaxUnacked)
	case TooManyLines:
		return fmt.Sprintf("%d bytes already wait to be written", MaxPending)
	case NotSpelled:
		return n + " cannot be spelled"
	}
	return string(r.Code)
}

// Code is the reason why a number was refused.
type Code string

// The codes.
const (
	NotJoined    Code = "not_joined"     // the session has not joined the game
	Malformed    Code = "malformed"      // the payload is not a number
	NoSuchSeat   Code = "no_such_seat"   // client_id is not the name of a seat
	NotItsSeat   Code = "not_its_seat"   // the session does not hold the seat
	NotWhole     Code = "not_whole"      // a fraction
	BelowOne     Code = "below_one"      // zero or less
	BeyondTheEnd Code = "beyond_the_end" // more than the last number of the count
	TooFarAhead  Code = "too_far_ahead"  // more than Ahead beyond the file
	WrongParity  Code = "wrong_parity"   // odd numbers are client1's, even ones client2's
	TooManyAcks  Code = "too_many_acks"  // the session waits for MaxUnacked acks

	// In faithful mode only.
	NotSpelled   Code = "not_spelled"    // Python cannot spell the number
	TooManyLines Code = "too_many_lines" // MaxPending bytes wait to be written
)

// Codes lists every Code.
var Codes = [...]Code{NotJoined, Malformed, NoSuchSeat, NotItsSeat, NotWhole, BelowOne, BeyondTheEnd, TooFarAhead, WrongParity, TooManyAcks, NotSpelled, TooManyLines}

func (Emit) effect()       {}
func (Admit) effect()      {}
func (Hold) effect()       {}
func (Refuse) effect()     {}
func (Ack) effect()        {}
func (Append) effect()     {}
func (AppendLine) effect() {}
func (Seated) effect()     {}
func (Full) effect()       {}
func (Left) effect()       {}
func (Alone) effect()      {}
func (Received) effect()   {}
func (Repeated) effect()   {}
func (Refused) effect()    {}
