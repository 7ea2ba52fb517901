package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"counting/server/protocol"
	"counting/server/store"
)

// Options configure Open.
type Options struct {
	// Name is the name of this server, unique among running servers. After a restart,
	// the server takes back the games that it owned before.
	Name string
	// Addr and Secret are published to other servers: the host:port of the internal
	// listener, and the secret that it requires.
	Addr, Secret string
	// MaxGames is how many games may be kept besides the default one; 0 means no limit.
	// Servers that create games concurrently may exceed it by a few.
	MaxGames int
	Log      *slog.Logger // may be nil

	prefix  string        // of all keys
	away    time.Duration // how long etcd may not answer before the open games are closed; 0 means awayTime
	request time.Duration // timeout of a request; 0 means requestTime
}

const (
	// leaseTime is how long other servers assume that this one runs after its last
	// renewal. etcd has no shorter leases.
	leaseTime = 2 * time.Second
	// beat is the time between renewals of the lease.
	beat = leaseTime / 8
	// awayTime is how long etcd may not answer before the open games are closed.
	awayTime = 2 * time.Second
	// requestTime is how long a member of etcd may take to answer a request before
	// another one is asked. It is a quarter of awayTime, so that several can be
	// asked.
	requestTime = 500 * time.Millisecond
	// rememberTime is how long the owner of a game is cached.
	rememberTime = 250 * time.Millisecond
	// maxRemembered is how many owners are cached.
	maxRemembered = 10_000
)

// Store keeps the counts of games in etcd, for any number of servers. It is a
// store.Store.
//
// A game is one key, with its count, its owner and an epoch. The owner writes the count
// on condition that the key's revision is that of its last write. A server becomes the
// owner by writing its name and the next epoch into the key under the same condition:
// from then on every write of the former owner fails. A key with a lease shows whether
// an owner still runs. If a lease ends too early or a clock is wrong, games move to
// other servers, but nothing is lost.
type Store struct {
	register register
	options  Options
	log      *slog.Logger
	commits  *commits
	stats    stats
	cancel   func()
	running  sync.WaitGroup // keep and confirmAll
	opening  sync.WaitGroup // calls of Open that may make this server an owner

	incarnation int64
	owner       string // Options.Name and the incarnation, as in the games' keys

	mu       sync.Mutex
	open     map[string]*Count // nil while a game is being opened
	owners   map[string]memory // of games
	refusing map[string]time.Time
	answered time.Time // when etcd last answered
	away     error     // the error while etcd does not answer, or nil
	lease    lease
	closed   bool
}

// memory is a cached owner.
type memory struct {
	owner store.Elsewhere
	key   string // of the replica, without prefix
	until time.Time
}

type stats struct{ appends, conflicts, unknown, claims, takeovers, fenced atomic.Int64 }

// Stats are counters of a store, and the number of games that it owns.
type Stats struct {
	Appends   int64 // writes of a count
	Conflicts int64 // writes that found another revision than expected
	Unknown   int64 // writes whose outcome etcd did not report in time
	Claims    int64 // changes of the ownership to this server
	Takeovers int64 // claims of games whose previous owner had not released them
	Fenced    int64 // games that this server lost to another owner
	Owned     int   // games
}

// Stats returns the current values. It may be called concurrently.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	owned := 0
	for _, c := range s.open {
		if c != nil {
			owned++
		}
	}
	s.mu.Unlock()
	return Stats{
		Appends: s.stats.appends.Load(), Conflicts: s.stats.conflicts.Load(), Unknown: s.stats.unknown.Load(),
		Claims: s.stats.claims.Load(), Takeovers: s.stats.takeovers.Load(), Fenced: s.stats.fenced.Load(), Owned: owned,
	}
}

var errClosed = errors.New("the store is closed")

// newStore returns a store that uses and closes a register. While etcd does not answer,
// it tries again until ctx ends.
func newStore(ctx context.Context, r register, o Options) (*Store, error) {
	if o.Name == "" || len(o.Name) > 253 || strings.ContainsAny(o.Name, "#/\x00") {
		return nil, fmt.Errorf("the server's name is %.100q: it must have 1 to 253 characters, without # and /", o.Name)
	}
	if o.away == 0 {
		o.away = awayTime
	}
	if o.request == 0 {
		o.request = requestTime
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{register: r, options: o, log: o.Log,
		open: make(map[string]*Count), owners: make(map[string]memory), refusing: make(map[string]time.Time), answered: time.Now()}
	s.commits = &commits{commit: s.commit}
	if err := s.join(ctx); err != nil {
		r.close()
		return nil, err
	}
	var running context.Context
	running, s.cancel = context.WithCancel(context.Background())
	s.running.Go(func() { s.keep(running) })
	s.running.Go(func() { s.confirmAll(running) })
	return s, nil
}

// Owned returns nil: each game has its own owner.
func (s *Store) Owned() <-chan struct{} { return nil }

func (s *Store) gameKey(game string) string { return s.options.prefix + "games/" + game }

func (s *Store) replicaKey(owner string) string { return s.options.prefix + "replicas/" + owner }

// Open opens the count of a game: see store.Store. The store becomes the owner of a game
// that has no owner, whose owner no longer runs or was reported to Refused, or that this
// server owned before a restart. While etcd does not answer, the error is
// store.ErrNoOwner.
func (s *Store) Open(ctx context.Context, game string, create bool) (store.Count, error) {
	if game != store.Default {
		if err := protocol.CheckGame(game); err != nil {
			return nil, err
		}
	}
	if err := s.reserve(game); err != nil {
		return nil, err
	}
	defer s.opening.Done()
	c, err := s.claim(ctx, game, create || game == store.Default)
	s.mu.Lock()
	if err == nil {
		s.open[game] = c
		delete(s.owners, game)
		if s.away != nil {
			c.fail(s.away)
		}
	} else {
		delete(s.open, game)
	}
	closed := s.closed
	s.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case closed: // in the meantime
		c.Close(ctx)
		return nil, errClosed
	}
	return c, nil
}

// reserve checks that a game may be opened, and marks it as being opened.
func (s *Store) reserve(game string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if _, open := s.open[game]; open {
		return store.ErrInUse
	}
	if m, ok := s.owners[game]; ok && time.Now().Before(m.until) && !s.refuses(m.key) {
		owner := m.owner
		return &owner
	}
	if s.away != nil {
		return fmt.Errorf("%w: %w", store.ErrNoOwner, s.away)
	}
	s.open[game] = nil
	s.opening.Add(1)
	return nil
}

// checkRoom returns store.ErrTooMany if no further game may be created.
func (s *Store) checkRoom(ctx context.Context) error {
	games := s.gameKey("")
	p, err := s.list(ctx, games+"\x00", end(games), 1)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", store.ErrNoOwner, err)
	case p.total >= int64(s.options.MaxGames):
		return fmt.Errorf("%w: there are %d", store.ErrTooMany, p.total)
	}
	return nil
}

// end returns the first key after all keys with a prefix, whose last byte must be below
// 127, as that of "/" is.
func end(prefix string) string {
	last := len(prefix) - 1
	return prefix[:last] + string(prefix[last]+1)
}

// Games lists games: see store.Store.
func (s *Store) Games(ctx context.Context, after string, n int) (games []store.Game, err error) {
	s.mu.Lock()
	away := s.away
	s.mu.Unlock()
	if away != nil {
		return nil, away
	}
	prefix := s.gameKey("")
	for from := prefix + after + "\x00"; len(games) < n; {
		most := n - len(games)
		p, err := s.list(ctx, from, end(prefix), most)
		if err != nil {
			return nil, fmt.Errorf("list the games in etcd: %w", err)
		}
		for _, e := range p.entries {
			from = e.key + "\x00"
			name := strings.TrimPrefix(e.key, prefix)
			v, err := decodeGame(e) // the zero value if it is invalid
			if protocol.CheckGame(name) != nil || err == nil && v.Count == 0 {
				continue
			}
			games = append(games, store.Game{Name: name, Last: v.Count, At: v.at()})
		}
		if len(p.entries) < most {
			break
		}
	}
	return games, nil
}

// Ready returns why counts cannot be written: etcd does not answer, the default game has
// an error, or more than half of the open games have one.
func (s *Store) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return s.away
	}
	errs := make(map[string]error)
	for game, c := range s.open {
		if c == nil { // it is being opened
			continue
		}
		if err := c.Ready(); err != nil {
			errs[game] = err
		}
	}
	return store.ReadyWith(errs, len(s.open))
}

func (s *Store) forget(c *Count) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c.game)
}

// Close closes all counts, which releases their games, and deletes the key that shows
// that this server runs: see store.Store.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	var open []*Count
	for _, c := range s.open {
		if c != nil {
			open = append(open, c)
		}
	}
	s.mu.Unlock()
	errs := make([]error, len(open))
	var closing sync.WaitGroup
	opened := make(chan struct{})
	go func() { s.opening.Wait(); close(opened) }()
	for i, c := range open {
		closing.Go(func() { errs[i] = c.Close(ctx) })
	}
	closing.Wait()
	select {
	case <-opened: // and closed, if that was too late
	case <-ctx.Done():
		errs = append(errs, context.Cause(ctx))
	}
	if !first {
		return errors.Join(errs...)
	}
	s.cancel()
	s.running.Wait()
	s.leave(ctx)
	if errors.Join(errs...) == nil { // otherwise counts may still use it
		s.register.close()
	}
	return errors.Join(errs...)
}
