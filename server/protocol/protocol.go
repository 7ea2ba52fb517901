// Package protocol is the wire contract between the server and its clients:
// Socket.IO 5 over Engine.IO 4, namespace "/", JSON text frames.
//
// It defines names, payloads and their parsing, and no state, so that both sides can
// import it. The contract was observed on the original Flask-SocketIO server and its
// Python clients.
package protocol

import "errors"

// Path is the URL path of Engine.IO.
const Path = "/socket.io/"

// GameParameter is the parameter of the handshake's query that names the game: see
// CheckGame. Without it the game is the default one. The original ignores it.
const GameParameter = "game"

// ErrGame is CheckGame's error.
var ErrGame = errors.New("a game's name has 1 to 63 characters from a-z, 0-9 and -, and neither begins nor ends with -")

// maxGameName is the longest name of a game, that of a DNS label.
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

// Event names. What a new one touches is in .github/CONTRIBUTING.md.
const (
	// ClientAssigned is sent by the server to a client that has been given a seat,
	// before the CONNECT packet ("40"): the Python client reads it as soon as "40"
	// arrives. Payload: Assignment.
	ClientAssigned = "client_assigned"
	// StartGame is sent by the server to all clients when the second seat is taken; to
	// the new client before its "40". No payload.
	StartGame = "start_game"
	// StopGame is sent by the server to all clients whenever a client disconnects and
	// fewer than two seats are taken afterwards. No payload.
	StopGame = "stop_game"
	// NumberEvent is sent by a client that counts. Payload: Number. If the packet asks
	// for an ack, that is "[]" once the number is in the file, or "[Refusal]".
	NumberEvent = "number"
)

// Assignment is the payload of ClientAssigned.
type Assignment struct {
	ClientID string `json:"client_id"`
	// LastNumber is, despite its name, the number that the client must send next. From
	// the original it may be any Value.
	LastNumber Value `json:"last_number"`
}

// Number is the payload of NumberEvent.
type Number struct {
	ClientID string `json:"client_id"`
	Number   int64  `json:"number"`
}

// Refusal is the argument of the ack of a refused number. The original never sends it.
type Refusal struct {
	Error string `json:"error"`
}

// Seat is one of the two seats of the game. The zero Seat is NoSeat.
type Seat int

// The seats, in the order in which they are assigned.
const (
	NoSeat  Seat = iota
	Client1      // counts the odd numbers
	Client2      // counts the even numbers
)

// Seats lists both seats, in the order in which they are assigned.
var Seats = [...]Seat{Client1, Client2}

// BySeat has an element for each seat, and one for NoSeat.
type BySeat[T any] [len(Seats) + 1]T

// String returns the seat's client_id.
func (s Seat) String() string {
	switch s {
	case Client1:
		return "client1"
	case Client2:
		return "client2"
	}
	return "no seat"
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

// SeatOf returns the seat that counts n: Client1 counts the odd numbers, Client2 the
// even ones.
func SeatOf(n int64) Seat {
	if n%2 != 0 {
		return Client1
	}
	return Client2
}

// First returns the first number of the seat.
func (s Seat) First() int64 { return int64(s) }
