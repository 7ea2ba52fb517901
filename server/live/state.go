package live

import "time"

// The JSON of the stream and of the snapshot. Times are the server's, in UTC.

// State is how things stand: GET /state answers it, and the stream sends it as
// the event "state" before anything that happens after it.
type State struct {
	Now     time.Time `json:"now"`
	Version string    `json:"version"`
	// Started is when this server started. It tells one from its successor.
	Started time.Time `json:"started"`
	// Goal is the number that the count is on its way to, as far as the server
	// was told: the clients decide where they stop. 0 is unknown.
	Goal int64 `json:"goal"`
	// Lines is how many lines numbers.txt has, the Last of them given if there
	// is one.
	Lines int64 `json:"lines"`
	Last  *Line `json:"last,omitempty"`
	// Running is true while both seats are taken, Since when it became so or
	// ceased to be.
	Running bool      `json:"running"`
	Since   time.Time `json:"since"`
	Seats   []Seat    `json:"seats"`
	// Failing is true while numbers.txt cannot be written.
	Failing bool `json:"failing"`
	// Happenings are the latest, oldest first.
	Happenings []Happening `json:"happenings"`
}

// Seat is one of the two.
type Seat struct {
	Seat  string    `json:"seat"`
	Taken bool      `json:"taken"`
	Since time.Time `json:"since"` // it was taken or fell free
}

// Line is a line of numbers.txt, as the event "line"; the event's id is its
// number. Number and Seat are absent if the line spells no whole number, At if
// it was written before this server can tell when.
type Line struct {
	Line   int64      `json:"line"`
	Text   string     `json:"text"`
	Number int64      `json:"number,omitempty"`
	Seat   string     `json:"seat,omitempty"`
	At     *time.Time `json:"at,omitempty"`
}

// Happening is something that happened, as the event "happening".
type Happening struct {
	ID   int64     `json:"id"` // counted by each server from 1 on
	At   time.Time `json:"at"`
	What What      `json:"what"`
	Seat string    `json:"seat,omitempty"` // for SeatTaken and SeatLeft
	// Seconds, for CountResumed, are those from the last line before the
	// interruption to the first one behind it.
	Seconds float64 `json:"seconds,omitempty"`
}

// What says what happened.
type What string

// What can happen.
const (
	ServerStarted   What = "server_started"
	SeatTaken       What = "seat_taken"
	SeatLeft        What = "seat_left"
	BothSeatsTaken  What = "both_seats_taken" // a third client came, and waits
	GameStarted     What = "game_started"     // the second seat was taken
	GameStopped     What = "game_stopped"     // one of two seats fell free
	StorageFailing  What = "storage_failing"  // numbers.txt cannot be written
	StorageRestored What = "storage_restored"
	CountResumed    What = "count_resumed" // the first line after an interruption
)
