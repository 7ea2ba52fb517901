package live

import (
	"errors"
	"io/fs"
	"syscall"
	"time"
)

// The JSON of the stream and of the snapshot. Times are the server's, in UTC.

// State is the snapshot: the response to GET /state, and the event "state" of the
// stream, which precedes all later events.
type State struct {
	Status
	Last          *Line          `json:"last,omitempty"` // of the file, nil if it is empty
	Activities    []Activity     `json:"happenings"`     // the latest, oldest first
	Interruptions []Interruption `json:"interruptions"`  // the latest that are over, oldest first
	Lanes         []Lane         `json:"lanes"`          // the server's, then one for each seat
}

// Status is the small part of the snapshot. The stream sends it as the event "status"
// when it changes, but not for each line.
type Status struct {
	Now     time.Time `json:"now"`
	Version string    `json:"version"`
	// Assets changes with the files of the live page: a page that was loaded from
	// another version reloads.
	Assets string `json:"assets"`
	Host   string `json:"host"` // the name of the machine, or of the pod
	// Started is when this server started. It distinguishes servers.
	Started time.Time `json:"started"`
	// Goal is the last number of the count as set by -goal; the clients decide where
	// they stop. 0 means unknown.
	Goal int64 `json:"goal"`
	// Lines is the number of lines in numbers.txt, Count the number that the count has
	// reached. They may differ if Unbroken is false: then the file is not one, two,
	// three and so on.
	Lines    int64 `json:"lines"`
	Count    int64 `json:"count"`
	Unbroken bool  `json:"unbroken"`
	// Running is true while both seats are taken, Since is when that changed.
	Running bool      `json:"running"`
	Since   time.Time `json:"since"`
	Seats   []Seat    `json:"seats"`
	Waiting int       `json:"waiting"` // clients that wait for a seat
	// Storage is set while numbers.txt cannot be written.
	Storage *StorageFault `json:"storage,omitempty"`
	// Interruption is set while the count is interrupted.
	Interruption *Interruption `json:"interruption,omitempty"`
	Tally        Tally         `json:"tally"`
}

// Seat is one of the two seats.
type Seat struct {
	Seat  string    `json:"seat"`
	Taken bool      `json:"taken"`
	Since time.Time `json:"since"` // when it was taken or became free
	Times int64     `json:"times"` // how often it was taken since Tally.Since
}

// StorageFault describes why the file cannot be written, and since when. Reason is a
// short text without paths, such as "the disk is full".
type StorageFault struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
}

// Line is a line of numbers.txt, as the event "line"; the event's id is its
// number. Number and Seat are absent if the line does not spell a whole number,
// At if this server does not know when it was written.
type Line struct {
	Line   int64      `json:"line"`
	Text   string     `json:"text"`
	Number int64      `json:"number,omitempty"`
	Seat   string     `json:"seat,omitempty"`
	At     *time.Time `json:"at,omitempty"`
}

// Activity is an entry of the page's list of activities, sent as the event "happening".
// A repeated activity is one Activity with a growing Times; the event is sent again,
// with the same ID, about once a second.
type Activity struct {
	ID    int64      `json:"id"` // ascending, also across servers
	At    time.Time  `json:"at"` // the first time
	Type  Type       `json:"what"`
	Seat  string     `json:"seat,omitempty"`  // for SeatTaken and SeatLeft; for NumberRefused if the client held one
	Times int64      `json:"times,omitempty"` // if more than one
	Until *time.Time `json:"until,omitempty"` // the last time, if more than one
	// Seconds, for CountResumed, is the time from the last line before the
	// interruption to the first one after it.
	Seconds float64 `json:"seconds,omitempty"`
	Reason  string  `json:"reason,omitempty"` // for StorageFailing and NumberRefused
}

// Type is the type of an Activity.
type Type string

// The types of activities.
const (
	ServerStarted   Type = "server_started"
	ServerStopped   Type = "server_stopped" // it was asked to
	SeatTaken       Type = "seat_taken"
	SeatLeft        Type = "seat_left"
	BothSeatsTaken  Type = "both_seats_taken" // a third client connected, and waits
	NumberRefused   Type = "number_refused"
	GameStarted     Type = "game_started"    // the second seat was taken
	GameStopped     Type = "game_stopped"    // one of two seats became free
	StorageFailing  Type = "storage_failing" // numbers.txt cannot be written
	StorageRestored Type = "storage_restored"
	CountResumed    Type = "count_resumed" // the first line after an interruption
)

// Interruption is a time in which the count was interrupted, sent as the event
// "interruption" when it begins and again when it is over.
type Interruption struct {
	ID    int64     `json:"id"` // ascending, also across servers
	Cause Cause     `json:"cause"`
	At    time.Time `json:"at"` // when the cause was noticed
	// After is when the last line before it was written, or At if that is unknown.
	After time.Time `json:"after"`
	// Line is the first line after it and Seconds the time from After to that
	// line; both are 0 while the interruption lasts.
	Line    int64   `json:"line,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}

// Cause is why the count is interrupted: the first reason, if there are several.
type Cause string

// The causes.
const (
	CauseServer  Cause = "server"  // the server was not running, or stopped
	CauseClient1 Cause = "client1" // the seat was left
	CauseClient2 Cause = "client2"
	CauseStorage Cause = "storage" // the file could not be written
	CauseStall   Cause = "stall"   // both clients are connected, and no number arrives
)

// Causes lists every Cause.
var Causes = [...]Cause{CauseServer, CauseClient1, CauseClient2, CauseStorage, CauseStall}

// Tally sums up the interruptions since the count began, or since the last interruption
// longer than tallyPause.
type Tally struct {
	Since         time.Time `json:"since"`
	Interruptions int64     `json:"interruptions"`
	Longest       float64   `json:"longest"` // in seconds
	Total         float64   `json:"total"`   // in seconds
}

// Lane holds the times when the server ran, or when a seat was taken.
type Lane struct {
	Name  string `json:"name"`
	Spans []Span `json:"spans"` // oldest first
}

// Span is a time of presence. Until is absent in the current one.
type Span struct {
	From  time.Time  `json:"from"`
	Until *time.Time `json:"until,omitempty"`
}

// reason describes in a few words why the file cannot be written. The error itself
// contains paths, and is only for the log.
func reason(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full"
	case errors.Is(err, syscall.EDQUOT):
		return "the disk quota is exceeded"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only"
	case errors.Is(err, fs.ErrPermission):
		return "numbers.txt may not be written"
	case errors.Is(err, fs.ErrNotExist):
		return "numbers.txt is missing"
	case errors.Is(err, syscall.EIO):
		return "the disk is faulty"
	}
	return "numbers.txt cannot be written"
}
