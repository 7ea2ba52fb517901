// Package lobby keeps the open games of a server by name: it opens a game for its
// first visitor, and closes it some time after the last visitor has left.
package lobby

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// The errors of Lobby.Enter, beside those of Options.Open.
var (
	ErrFull   = errors.New("too many games are open")
	ErrClosed = errors.New("the server is stopping")
)

// errGivenUp is an entry's error when all who had waited for it have left.
var errGivenUp = errors.New("the opening of the game was given up")

// maxOpening is how many games are opened at the same time. Opening one may take the
// disk, and a client may ask for any number of games.
const maxOpening = 4

// Options are for New.
type Options[G any] struct {
	// Open opens a game, which it makes if there is none of that name and create is
	// set. It may be called by any number of goroutines, for one name at a time. ctx
	// ends when nobody waits for the game any longer. drop has the game closed,
	// whoever is in it: nobody enters it any more, and the next call of Enter for that
	// name opens it again.
	Open func(ctx context.Context, name string, create bool, drop func()) (G, error)
	// Close closes a game that Open opened. It is called once for each, by a
	// goroutine of its own. Until it returns, calls of Enter for that name wait.
	Close func(name string, game G)
	// MaxGames is how many games may be open; 0 is any number. When it is reached, the
	// game that has been empty for the longest time is closed for a new one.
	MaxGames int
	// Linger is how long an empty game stays open.
	Linger time.Duration
}

// Lobby is the games of a server, by name. Its methods may be called by any number
// of goroutines.
type Lobby[G any] struct {
	options Options[G]
	opening chan struct{} // has an element for each game that is being opened

	mu     sync.Mutex
	games  map[string]*entry[G] // also while they are opened and closed
	empty  *list.List           // of open entries without visitors, in the order in which they became so
	closed bool
}

// entry is a game that is open, or is being opened or closed.
type entry[G any] struct {
	name    string
	create  bool
	opening context.Context // ends when nobody waits for it to be opened
	giveUp  func()          // ends opening
	opened  chan struct{}   // closed when Open has returned
	closed  chan struct{}   // closed when Close has returned

	// Read when opened is closed.
	game G
	err  error

	// Guarded by the lobby's lock.
	open     bool
	closing  bool
	dropped  bool
	visitors int
	empty    *list.Element // while it is in Lobby.empty
	linger   *time.Timer   // runs meanwhile
}

// New returns a lobby without games.
func New[G any](o Options[G]) *Lobby[G] {
	return &Lobby[G]{options: o, opening: make(chan struct{}, maxOpening), games: make(map[string]*entry[G]), empty: list.New()}
}

// Enter returns the game of that name, which stays open until leave is called; if
// it is not open, it is opened. create has a game made that does not exist.
//
// The error is that of Options.Open, which is not remembered: the next call tries
// again; or ErrFull, if MaxGames are open and none of them is empty; or ErrClosed;
// or the cause of ctx.
func (l *Lobby[G]) Enter(ctx context.Context, name string, create bool) (game G, leave func(), err error) {
	var none G
	for {
		e, busy, err := l.enter(name, create)
		switch {
		case err != nil:
			return none, nil, err
		case e == nil: // it is being closed, or another has to be before
			select {
			case <-busy:
				continue
			case <-ctx.Done():
				return none, nil, context.Cause(ctx)
			}
		}
		leave = sync.OnceFunc(func() { l.leave(e) })
		select {
		case <-e.opened:
		case <-ctx.Done():
			leave()
			return none, nil, context.Cause(ctx)
		}
		if e.err == nil {
			return e.game, leave, nil
		}
		if e.err != errGivenUp && (e.create || !create) {
			return none, nil, e.err
		}
		// It was opened for somebody who has left, or did not want it made.
	}
}

// enter notes a visitor. If the game cannot be entered now it returns a channel
// that is closed when it may be worth another try.
func (l *Lobby[G]) enter(name string, create bool) (e *entry[G], busy chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, nil, ErrClosed
	}
	if e = l.games[name]; e != nil {
		if e.closing || e.dropped {
			return nil, e.closed, nil
		}
		l.setEmpty(e, false)
		e.visitors++
		return e, nil, nil
	}
	if l.options.MaxGames > 0 && len(l.games) >= l.options.MaxGames {
		first := l.empty.Front()
		if first == nil {
			return nil, nil, ErrFull
		}
		victim := first.Value.(*entry[G])
		l.close(victim)
		return nil, victim.closed, nil
	}
	e = &entry[G]{name: name, create: create, visitors: 1, opened: make(chan struct{}), closed: make(chan struct{})}
	e.opening, e.giveUp = context.WithCancel(context.Background())
	l.games[name] = e
	go l.open(e)
	return e, nil, nil
}

// open opens the game of an entry.
func (l *Lobby[G]) open(e *entry[G]) {
	defer close(e.opened)
	defer e.giveUp()
	select {
	case l.opening <- struct{}{}:
		e.game, e.err = l.options.Open(e.opening, e.name, e.create, func() { l.drop(e) })
		<-l.opening
	case <-e.opening.Done():
		e.err = e.opening.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.err != nil && e.opening.Err() != nil {
		e.err = errGivenUp
	}
	if e.err != nil {
		delete(l.games, e.name)
		close(e.closed)
		return
	}
	e.open = true
	if e.dropped || l.closed {
		l.close(e)
	} else if e.visitors == 0 {
		l.setEmpty(e, true)
	}
}

func (l *Lobby[G]) leave(e *entry[G]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.visitors--
	switch {
	case e.visitors > 0 || e.closing || l.closed:
	case e.open:
		l.setEmpty(e, true)
	default:
		e.giveUp()
	}
}

func (l *Lobby[G]) drop(e *entry[G]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.dropped = true
	if e.open && !e.closing && !l.closed {
		l.close(e)
	}
}

// Games returns the games that are open, in no order.
func (l *Lobby[G]) Games() []G {
	l.mu.Lock()
	defer l.mu.Unlock()
	games := make([]G, 0, len(l.games))
	for _, e := range l.games {
		if e.open && !e.closing {
			games = append(games, e.game)
		}
	}
	return games
}

// Close has no game opened any more, nor closed, and returns those that are open,
// for the caller to close.
func (l *Lobby[G]) Close() []G {
	l.mu.Lock()
	l.closed = true
	for _, e := range l.games {
		l.setEmpty(e, false)
	}
	l.mu.Unlock()
	return l.Games()
}

// The rest must be called with l.mu held.

// close has a game closed.
func (l *Lobby[G]) close(e *entry[G]) {
	l.setEmpty(e, false)
	e.closing = true
	go func() {
		l.options.Close(e.name, e.game)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.games, e.name)
		close(e.closed)
	}()
}

// setEmpty notes whether nobody is in a game. It is closed when that has been so
// for Linger.
func (l *Lobby[G]) setEmpty(e *entry[G], empty bool) {
	switch {
	case empty == (e.empty != nil):
	case !empty:
		e.linger.Stop()
		l.empty.Remove(e.empty)
		e.empty, e.linger = nil, nil
	default:
		since := l.empty.PushBack(e)
		e.empty = since
		e.linger = time.AfterFunc(l.options.Linger, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if e.empty == since {
				l.close(e)
			}
		})
	}
}
