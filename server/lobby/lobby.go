// Package lobby manages the open games of a server by name: it opens a game for its
// first user, and closes it some time after its last user has released it.
package lobby

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// Errors of Lobby.Acquire, besides those of Options.Open.
var (
	ErrFull   = errors.New("too many games are open")
	ErrClosed = errors.New("the server is stopping")
)

// errAborted is an entry's error when all callers that waited for it have gone.
var errAborted = errors.New("the opening of the game was aborted")

// maxOpening is how many games are opened at the same time. Opening one may use the
// disk, and a client may ask for any number of games.
const maxOpening = 4

// Options configure New.
type Options[G any] struct {
	// Open opens a game. If there is no game of that name, it is created if create is
	// set. Open may be called concurrently for different names. ctx ends when no caller
	// waits for the game any longer. drop closes the game although it has users: it is
	// not returned again, and the next call of Acquire for that name opens it again.
	Open func(ctx context.Context, name string, create bool, drop func()) (G, error)
	// Close closes a game that Open opened. It is called once for each, in a goroutine
	// of its own. Until it returns, calls of Acquire for that name wait.
	Close func(name string, game G)
	// MaxGames is how many games may be open; 0 means no limit. When it is reached, the
	// game that has been idle for the longest time is closed for a new one.
	MaxGames int
	// IdleTimeout is how long a game without users stays open.
	IdleTimeout time.Duration
}

// Lobby holds the games of a server, by name. Its methods may be called concurrently.
type Lobby[G any] struct {
	options Options[G]
	opening chan struct{} // has an element for each game that is being opened

	mu     sync.Mutex
	games  map[string]*entry[G] // including those that are being opened or closed
	idle   *list.List           // of open entries without users, the longest idle in front
	closed bool
}

// entry is a game that is open, or is being opened or closed.
type entry[G any] struct {
	name    string
	create  bool
	opening context.Context // ends when no caller waits for it to be opened
	abort   func()          // ends opening
	opened  chan struct{}   // closed when Open has returned
	closed  chan struct{}   // closed when Close has returned

	// Valid once opened is closed.
	game G
	err  error

	// Guarded by Lobby.mu.
	open      bool
	closing   bool
	dropped   bool
	users     int
	idle      *list.Element // while it is in Lobby.idle
	idleTimer *time.Timer   // runs while it is in Lobby.idle
}

// New returns a lobby without games.
func New[G any](o Options[G]) *Lobby[G] {
	return &Lobby[G]{options: o, opening: make(chan struct{}, maxOpening), games: make(map[string]*entry[G]), idle: list.New()}
}

// Acquire returns the game of that name, opening it if needed. It stays open until
// release is called. create creates a game that does not exist.
//
// The error is that of Options.Open, which is not cached: the next call tries again;
// or ErrFull, if MaxGames are open and none of them is idle; or ErrClosed; or the
// cause of ctx.
func (l *Lobby[G]) Acquire(ctx context.Context, name string, create bool) (game G, release func(), err error) {
	var none G
	for {
		e, busy, err := l.acquire(name, create)
		switch {
		case err != nil:
			return none, nil, err
		case e == nil: // it, or another game in its favor, is being closed
			select {
			case <-busy:
				continue
			case <-ctx.Done():
				return none, nil, context.Cause(ctx)
			}
		}
		release = sync.OnceFunc(func() { l.release(e) })
		select {
		case <-e.opened:
		case <-ctx.Done():
			release()
			return none, nil, context.Cause(ctx)
		}
		if e.err == nil {
			return e.game, release, nil
		}
		if e.err != errAborted && (e.create || !create) {
			return none, nil, e.err
		}
		// It was opened for a caller that has gone, or that did not want to create it.
	}
}

// acquire adds a user. If that is not possible now, it returns a channel that is
// closed when the caller may try again.
func (l *Lobby[G]) acquire(name string, create bool) (e *entry[G], busy chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, nil, ErrClosed
	}
	if e = l.games[name]; e != nil {
		if e.closing || e.dropped {
			return nil, e.closed, nil
		}
		l.setIdle(e, false)
		e.users++
		return e, nil, nil
	}
	if l.options.MaxGames > 0 && len(l.games) >= l.options.MaxGames {
		first := l.idle.Front()
		if first == nil {
			return nil, nil, ErrFull
		}
		victim := first.Value.(*entry[G])
		l.close(victim)
		return nil, victim.closed, nil
	}
	e = &entry[G]{name: name, create: create, users: 1, opened: make(chan struct{}), closed: make(chan struct{})}
	e.opening, e.abort = context.WithCancel(context.Background())
	l.games[name] = e
	go l.open(e)
	return e, nil, nil
}

// open opens the game of an entry.
func (l *Lobby[G]) open(e *entry[G]) {
	defer close(e.opened)
	defer e.abort()
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
		e.err = errAborted
	}
	if e.err != nil {
		delete(l.games, e.name)
		close(e.closed)
		return
	}
	e.open = true
	if e.dropped || l.closed {
		l.close(e)
	} else if e.users == 0 {
		l.setIdle(e, true)
	}
}

// release removes a user.
func (l *Lobby[G]) release(e *entry[G]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.users--
	switch {
	case e.users > 0 || e.closing || l.closed:
	case e.open:
		l.setIdle(e, true)
	default:
		e.abort()
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

// Games returns the open games, in no particular order.
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

// Close stops the lobby: it opens and closes no games any more. It returns the open
// games, which the caller must close.
func (l *Lobby[G]) Close() []G {
	l.mu.Lock()
	l.closed = true
	for _, e := range l.games {
		l.setIdle(e, false)
	}
	l.mu.Unlock()
	return l.Games()
}

// The following must be called with l.mu held.

// close closes a game in a goroutine of its own.
func (l *Lobby[G]) close(e *entry[G]) {
	l.setIdle(e, false)
	e.closing = true
	go func() {
		l.options.Close(e.name, e.game)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.games, e.name)
		close(e.closed)
	}()
}

// setIdle records whether a game has no users. It is closed after IdleTimeout.
func (l *Lobby[G]) setIdle(e *entry[G], idle bool) {
	switch {
	case idle == (e.idle != nil):
	case !idle:
		e.idleTimer.Stop()
		l.idle.Remove(e.idle)
		e.idle, e.idleTimer = nil, nil
	default:
		since := l.idle.PushBack(e)
		e.idle = since
		e.idleTimer = time.AfterFunc(l.options.IdleTimeout, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if e.idle == since {
				l.close(e)
			}
		})
	}
}
