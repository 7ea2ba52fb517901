package game

import "counting/server/protocol"

// Effect is what a step of the game wants done. The first group goes to
// sessions and to the file; the second says what happened, for the log.
type Effect interface{ effect() }

type (
	// Emit sends an event to one session. Payload is nil or a
	// protocol.Assignment.
	Emit struct {
		Session Session
		Event   string
		Payload any
	}
	// Admit sends the session its CONNECT packet, "40", behind all that was
	// emitted to it before.
	Admit struct{ Session Session }
	// Hold keeps the session's CONNECT packet back. The owner raises GiveUp
	// when the session has waited long enough.
	Hold struct{ Session Session }
	// Refuse sends the session a CONNECT_ERROR packet, "44", in place of "40".
	Refuse struct {
		Session Session
		Message string
	}
	// Ack answers the packet with that id: with an empty list, or with a
	// protocol.Refusal if Error is set.
	Ack struct {
		Session Session
		ID      AckID
		Error   string
	}
	// Append puts the spelling of Number at the end of the file. Line counts
	// the lines that were handed out, from the file's length on; the owner
	// raises Written when the line is there.
	Append struct {
		Line   int64
		Number float64
	}
)

type (
	// Seated: the session was given a seat.
	Seated struct {
		Session Session
		Seat    protocol.Seat
	}
	// Full: a session came while both seats were taken.
	Full struct{ Session Session }
	// Left: the session that held the seat is gone.
	Left struct {
		Session Session
		Seat    protocol.Seat
	}
	// Alone: somebody left, and a seat is free.
	Alone struct{}
	// Received: a number was taken.
	Received struct {
		Session  Session
		ClientID string
		Number   float64
	}
	// Repeated: a number came that the seat had reported before.
	Repeated struct {
		Session  Session
		ClientID string
		Number   float64
	}
	// Refused: a number was turned away. Code is one of a few, for metrics;
	// Reason is for people.
	Refused struct {
		Session Session
		Code    Code
		Reason  string
	}
)

// Code tells why a number was refused.
type Code string

// The codes there are.
const (
	NotJoined   Code = "not_joined"    // the session has not joined the game
	Malformed   Code = "malformed"     // the payload is no number
	NoSuchSeat  Code = "no_such_seat"  // client_id names none of the seats
	NotItsSeat  Code = "not_its_seat"  // another session, or none, holds the seat
	NotWhole    Code = "not_whole"     // a fraction
	BelowOne    Code = "below_one"     // zero or less
	TooFarAhead Code = "too_far_ahead" // more than Ahead beyond the file
	WrongParity Code = "wrong_parity"  // odd numbers are client1's, even ones client2's
	TooManyAcks Code = "too_many_acks" // the session is owed MaxUnacked
)

// Codes are all of them.
var Codes = [...]Code{NotJoined, Malformed, NoSuchSeat, NotItsSeat, NotWhole, BelowOne, TooFarAhead, WrongParity, TooManyAcks}

func (Emit) effect()     {}
func (Admit) effect()    {}
func (Hold) effect()     {}
func (Refuse) effect()   {}
func (Ack) effect()      {}
func (Append) effect()   {}
func (Seated) effect()   {}
func (Full) effect()     {}
func (Left) effect()     {}
func (Alone) effect()    {}
func (Received) effect() {}
func (Repeated) effect() {}
func (Refused) effect()  {}
