// Package store declares what keeps the counts of games. Package numbersfile has
// one that keeps them in files; package storetest has the tests that any store
// must pass.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Default is the name of the game of clients that name none.
const Default = ""

// The errors of Store.Open beside protocol.ErrGame. They may be wrapped.
var (
	ErrNotFound = errors.New("there is no such game")
	ErrInUse    = errors.New("the game is open already")
	// ErrNoOwner: another server owns the game, and it is not known yet which. It may
	// be worth another try in a moment. It is wrapped with the reason.
	ErrNoOwner = errors.New("the owner of the game is not known")
	ErrTooMany = errors.New("too many games are kept; no further one can be made before some are deleted")
)

// Elsewhere is the error of Store.Open for a game that another server owns. Who
// comes for the game is to be forwarded there.
type Elsewhere struct {
	Owner  string // the name of that server, for people
	Addr   string // host:port of its internal listener
	Secret string // what that listener asks for
}

func (e *Elsewhere) Error() string {
	return fmt.Sprintf("the game is owned by %s at %s", e.Owner, e.Addr)
}

// A Store keeps the counts of all games. It may be used by any number of
// goroutines.
type Store interface {
	// Open opens the count of a game for its one writer, who must close it. If
	// there is no such game, it makes it if create is set, and otherwise returns
	// ErrNotFound. If several servers share the store, it takes the ownership of a
	// game that no server owns, and returns an *Elsewhere for one that another server
	// owns, or ErrNoOwner. The other errors are protocol.ErrGame, for which nothing is made, ErrInUse
	// until the last one that was opened is closed, ErrTooMany, and those of the
	// storage.
	Open(ctx context.Context, game string, create bool) (Count, error)
	// Games returns up to n of the games that exist, but for the default one, in
	// the order of their names and from the first one after that name on.
	Games(ctx context.Context, after string, n int) ([]Game, error)
	// Ready returns nil if counts can be written, and otherwise why not. A fault
	// of one game, other than the default one, is no reason. The error is an
	// *Elsewhere or ErrNoOwner if another server owns all games.
	Ready() error
	// Owned returns a channel that is closed when this server owns all games, which
	// may be never. The default game is then opened and stays open, and a failure of
	// its count ends the server. It returns nil if each game has an owner of its own:
	// then the default game is opened as any other, when somebody comes for it.
	Owned() <-chan struct{}
	// Close closes all counts, as Count.Close does, and releases the store.
	Close(ctx context.Context) error
}

// A Refuser is a Store that takes over games of a server which has ended without
// giving them up as soon as it is told so.
type Refuser interface {
	// Refused says that the address of a game's owner has refused a connection, so
	// that nobody listens there. A connection that could not be made for another reason
	// is not reported.
	Refused(owner *Elsewhere)
}

// Game is what a store knows of a game without opening it.
type Game struct {
	Name string
	Last int64     // the number that it has reached, as far as that can be told
	At   time.Time // when that was written
}

// A Count is the count of one game: all numbers from one to Last. Append and
// Ready may be called by any number of goroutines.
type Count interface {
	// Opened returns what was found when the count was opened.
	Opened() Opened
	// Last returns the number that was appended last, or that was found.
	Last() int64
	// Append counts all numbers up to that one, from the one on that follows Last.
	// It never waits, and panics if the number does not come after Last. Once Close
	// was called, or Run has failed, it does nothing.
	Append(upTo int64)
	// Ready returns nil if the last write went well, and otherwise its error.
	Ready() error
	// Confirm returns nil if this server owned the game at some moment during the call:
	// no other server has shown a higher count to anybody before. Otherwise the error
	// is ErrNoOwner, and if another server is known to be the owner Run ends. It may be
	// called by any number of goroutines.
	Confirm(ctx context.Context) error
	// Run writes what is appended until Close is called. It may be called once. An
	// error says that the count is no longer to be trusted, or somebody else's:
	// what was not reported as written by then never will be. Opening the count
	// again tells where it is.
	Run(Reports) error
	// Close has what waits written, by Run or, if that was never called, in its
	// place, and releases the count. It returns the error that Run returns, or that of
	// ctx if it ends before. It may be called more than once.
	Close(ctx context.Context) error
}

// Reports holds the functions that Count.Run calls: from its own goroutine, one
// at a time and in order. They may call Append, but not Close. The writing waits
// until they return.
type Reports struct {
	// Written reports that all numbers up to this one are kept, and survive the
	// end of the process and of the machine; and how long the one that has waited
	// longest has waited for that.
	Written func(upTo int64, took time.Duration)
	// State reports that writing has begun to fail, or, with nil, that it works
	// again: once for each change.
	State func(err error)
}

// Opened is what was found when a count was opened.
type Opened struct {
	Last     int64     // the number that the count had reached
	Unbroken bool      // whether nothing but the numbers up to Last is kept
	At       time.Time // when the last number was written, zero if unknown
	Text     string    // the same in words, for the log
	// Path is the file with a line for each number, or "" if the count is kept
	// elsewhere. In its directory there is place for other files of the game.
	Path string
}
