// Package protocol is the wire contract between the server and its clients:
// Socket.IO 5 over Engine.IO 4, namespace "/", JSON text frames.
//
// It holds names, payloads and how they are read, and no state, so that both
// sides may import it. What it says was observed on the original Flask-SocketIO
// server and its Python clients.
package protocol

import (
	"errors"
	"fmt"
)

// Path is where Engine.IO listens.
const Path = "/socket.io/"

// GameParameter is the parameter of the handshake's query that names the game, as
// CheckGame takes it. Without it the game is the default one. The original ignores
// it.
const GameParameter = "game"

// ErrGame is CheckGame's error.
var ErrGame = errors.New("a game's name has 1 to 63 characters from a-z, 0-9 and -, and neither begins nor ends with -")

// maxGameName is how long a game's name may be: as long as a DNS label.
const maxGameName = 63

// CheckGame returns nil if a game may have that name, and otherwise ErrGame.
func CheckGame(name string) error {
	if name == "" || len(name) > maxGameName || name[0] == '-' || name[len(name)-1] == '-' {
		return ErrGame
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return ErrGame
		}
	}
	return nil
}

// Event names.
const (
	// ClientAssigned goes from the server to one client that has just been
	// given a seat, before the CONNECT packet ("40"): the Python client reads
	// it as soon as "40" comes. Payload: Assignment.
	ClientAssigned = "client_assigned"
	// StartGame goes from the server to everybody when the second seat is
	// taken; to the newcomer before its "40". No payload.
	StartGame = "start_game"
	// StopGame goes from the server to everybody whenever anybody disconnects
	// and fewer than two seats are taken afterwards. No payload.
	StopGame = "stop_game"
	// NumberEvent goes from a client to the server: the client counts.
	// Payload: Number. An ack, where the packet asks for one, is "[]" once the
	// number is in the file, or "[Refusal]".
	NumberEvent = "number"
)

// Assignment is the payload of ClientAssigned.
type Assignment struct {
	ClientID string `json:"client_id"`
	// LastNumber is, despite its name, the number that the client has to send
	// next. On the original it may be any Value.
	LastNumber Value `json:"last_number"`
}

// Number is the payload of NumberEvent.
type Number struct {
	ClientID string `json:"client_id"`
	Number   int64  `json:"number"`
}

// Refusal is what an ack carries when a number was not taken. The original
// never sends it.
type Refusal struct {
	Error string `json:"error"`
}

// Seat is one of the two places in the game. The zero Seat is no seat.
type Seat int

// The seats, in the order in which they are given away.
const (
	NoSeat  Seat = iota
	Client1      // counts the odd numbers
	Client2      // counts the even numbers
)

// Seats are both seats in the order in which they are given away.
var Seats = [...]Seat{Client1, Client2}

// String returns the seat's client_id on the wire.
func (s Seat) String() string {
	if s == NoSeat {
		return "no seat"
	}
	return fmt.Sprintf("client%d", int(s))
}

// SeatNamed returns the seat with that client_id, or NoSeat.
func SeatNamed(clientID string) Seat {
	for _, s := range Seats {
		if s.String() == clientID {
			return s
		}
	}
	return NoSeat
}

// SeatOf returns the seat whose turn n is: odd numbers are Client1's, even
// ones Client2's.
func SeatOf(n int64) Seat {
	if n%2 != 0 {
		return Client1
	}
	return Client2
}

// First returns the first number of the seat.
func (s Seat) First() int64 { return int64(s) }
