// Package store declares the interface of stores, which keep the counts of games.
// Packages numbersfile and etcdstore implement it; package storetest has the tests
// that every store must pass. A further store also needs a case in server/stores.go,
// an entry in server/layers_test.go, and its lines in server/README.md.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Default is the name of the game of clients that do not name one.
const Default = ""

// Errors of Store.Open, besides protocol.ErrGame. They may be wrapped.
var (
	ErrNotFound = errors.New("there is no such game")
	ErrInUse    = errors.New("the game is open already")
	// ErrNoOwner means that another server owns the game, and that it is not known yet
	// which one. The caller may try again in a moment. It is wrapped with the reason.
	ErrNoOwner = errors.New("the owner of the game is not known")
	ErrTooMany = errors.New("too many games are kept; no further one can be made before some are deleted")
)

// Elsewhere is the error of Store.Open for a game that another server owns. Requests
// for the game must be forwarded to that server.
type Elsewhere struct {
	Owner  string // the name of that server, for logs
	Addr   string // host:port of its internal listener
	Secret string // the secret that the listener requires
}

func (e *Elsewhere) Error() string {
	return fmt.Sprintf("the game is owned by %s at %s", e.Owner, e.Addr)
}

// A Store keeps the counts of all games. Its methods may be called concurrently.
type Store interface {
	// Open opens the count of a game for its only writer, who must close it. A game
	// that does not exist is created if create is set; otherwise the error is
	// ErrNotFound. The default game always exists. A game in which nothing was counted
	// is deleted when its Count is closed; until then it counts for ErrTooMany, and
	// Games does not list it. If several servers share the store, Open takes the ownership of a
	// game that no server owns, and returns an *Elsewhere or ErrNoOwner for a game
	// that another server owns. The other errors are protocol.ErrGame if the name is
	// invalid, ErrInUse until the previous Count of the game is closed, ErrTooMany, and
	// those of the storage. After Close, Open fails.
	Open(ctx context.Context, game string, create bool) (Count, error)
	// Games returns up to n of the existing games, except the default one, sorted by
	// name and beginning with the first name greater than after.
	Games(ctx context.Context, after string, n int) ([]Game, error)
	// Ready returns nil if counts can be written, and otherwise the reason. A fault of
	// a single game other than the default one is not reported. The error is an
	// *Elsewhere or ErrNoOwner if another server owns all games.
	Ready() error
	// Owned returns a channel that is closed when this server owns all games, which
	// may be never. The default game is then opened and stays open, and a failure of
	// its count ends the server. It returns nil if each game has its own owner: then
	// the default game is opened on demand, like any other.
	Owned() <-chan struct{}
	// Close closes all counts, as Count.Close does, and releases the store.
	Close(ctx context.Context) error
}

// ReadyWith is what Store.Ready returns if that many games are open and these have
// errors: the error of the default game, or any of them if more than half of the games
// have one.
func ReadyWith(errs map[string]error, open int) error {
	if err := errs[Default]; err != nil {
		return err
	}
	if 2*len(errs) > open {
		for _, err := range errs {
			return err
		}
	}
	return nil
}

// A Refuser is a Store that can take over the games of a server which ended without
// releasing them, once Refused reports that it has ended.
type Refuser interface {
	// Refused reports that the address of a game's owner has refused a connection, so
	// nothing listens there. It must not be called when a connection failed for another
	// reason.
	Refused(owner *Elsewhere)
}

// Game is what a store knows of a game without opening it.
type Game struct {
	Name string
	Last int64     // the number that it has reached, or 0 if that is unknown
	At   time.Time // when that was written
}

// A Count is the count of one game: all numbers from one to Last. Append and Ready
// may be called concurrently.
type Count interface {
	// Opened returns what was found when the count was opened.
	Opened() Opened
	// Last returns the number that was appended last, initially Opened.Last.
	Last() int64
	// Append appends all numbers after Last up to upTo. It never waits, and panics if
	// upTo is not greater than Last. After Close was called or Run has failed, it does
	// nothing, whatever upTo is, and Last does not change.
	Append(upTo int64)
	// Ready returns nil if the last write succeeded, and otherwise its error.
	Ready() error
	// Confirm returns nil if this server owned the game at some moment during the call:
	// no other server has shown a higher count to anybody before. Otherwise the error
	// is ErrNoOwner, and if another server is known to be the owner Run ends. It may be
	// called by any number of goroutines.
	Confirm(ctx context.Context) error
	// Run writes what is appended until Close is called. It may be called once, and fails
	// if Close was called before. Another error means that the state of the count is
	// unknown, or that another server owns it: numbers that were not reported by then
	// never are. Opening the count again determines its end.
	Run(Callbacks) error
	// Close waits until everything appended is written, by Run or, if Run was never
	// called, by Close, and releases the count. It returns the error that Run returns,
	// or the error of ctx if that ends before. It may be called more than once.
	Close(ctx context.Context) error
}

// Callbacks holds the functions that a Count calls until Run returns: one at a time and in
// order. They may call Append, but not Close. Writing blocks until they return. Any of
// them may be nil.
type Callbacks struct {
	// OnCommit is called when all numbers up to upTo are stored durably: they survive
	// a crash of the process and of the machine. took is how long the oldest of them
	// was queued.
	OnCommit func(upTo int64, took time.Duration)
	// OnHealth is called when writing starts to fail, and with nil when it works
	// again: once for each change.
	OnHealth func(err error)
}

// Opened is what was found when a count was opened.
type Opened struct {
	Last     int64     // the number that the count had reached
	Unbroken bool      // whether only the numbers up to Last are stored
	At       time.Time // when the last number was written, zero if unknown
	Text     string    // a clause for the log, such as "the count is at 7"
	// Path is the file with a line for each number, or "" if the count is not kept in
	// a file. Other files of the game may be stored in its directory.
	Path string
}
