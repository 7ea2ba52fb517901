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

// Options are for Open.
type Options struct {
	// Name of this server, which no other one that runs has. When it is started
	// again, it has the games back that it owned before.
	Name string
	// Addr and Secret are what other servers are told: the host:port of the internal
	// listener, and what it asks for.
	Addr, Secret string
	// MaxGames is how many games may be kept beside the default one; 0 is any
	// number. Servers that make games at the same moment may make a few more.
	MaxGames int
	// Away is how long etcd may not answer before the open games are closed; 0 is 2 s.
	Away time.Duration
	Log  *slog.Logger // may be nil

	prefix  string        // of all keys
	request time.Duration // how long etcd may take to answer a request; 0 is requestTime
}

const (
	// leaseTime is how long this server is believed to run when it does not say so
	// any more. etcd has no shorter leases.
	leaseTime = 2 * time.Second
	// beat is the time from one renewal of the lease to the next.
	beat = leaseTime / 8
	// requestTime is how long etcd may take to answer a request before another one of
	// its members is asked. A part of Options.Away, it leaves time for three others.
	requestTime = 500 * time.Millisecond
	// rememberTime is how long the owner of a game, or that its address refuses
	// connections, is believed without asking etcd.
	rememberTime = 250 * time.Millisecond
	// maxRemembered is of how many games the owners are remembered.
	maxRemembered = 10_000
)

// Store keeps the counts of games in etcd, for any number of servers. It is a
// store.Store.
//
// A game is one key, with its count, its owner and an epoch. The owner writes the
// count only if the key's revision is the one that it has left. A server becomes
// the owner by writing itself into the key, with the next epoch, under the same
// condition: from then on every write of the former owner fails. Whether an owner
// still runs is told by a key with a lease; a lease that ends too early, or a
// clock that is wrong, moves games but loses nothing.
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
	answered time.Time // when etcd answered last
	away     error     // that etcd is, or nil
	lease    lease
	closed   bool
}

// memory is an owner that was read of late.
type memory struct {
	owner store.Elsewhere
	key   string // of the replica, without prefix
	until time.Time
}

type stats struct{ appends, conflicts, unknown, claims, takeovers, fenced atomic.Int64 }

// Stats are what a store has done so far, and how many games it owns.
type Stats struct {
	Appends   int64 // writes of a count
	Conflicts int64 // writes that found another revision than expected
	Unknown   int64 // writes of which etcd did not say in time whether it made them
	Claims    int64 // changes of the ownership to this server
	Takeovers int64 // those of them from a server that had not given the game up
	Fenced    int64 // games that this server lost to another owner
	Owned     int   // games
}

// Stats may be called by any number of goroutines.
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

// newStore returns a store of a register, which it closes. While etcd does not
// answer it tries again until ctx ends.
func newStore(ctx context.Context, r register, o Options) (*Store, error) {
	if o.Name == "" || len(o.Name) > 253 || strings.ContainsAny(o.Name, "#/\x00") {
		return nil, fmt.Errorf("the server's name is %.100q: it must have 1 to 253 characters, without # and /", o.Name)
	}
	if o.Away == 0 {
		o.Away = 2 * time.Second
	}
	if o.request == 0 {
		o.request = requestTime
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{register: r, options: o, log: o.Log,
		open: make(map[string]*Count), owners: make(map[string]memory), refusing: make(map[string]time.Time), answered: time.Now()}
	s.commits = newCommits(noting{r, s}, o.request)
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

// Owned returns nil: each game has an owner of its own.
func (s *Store) Owned() <-chan struct{} { return nil }

func (s *Store) gameKey(game string) string { return s.options.prefix + "games/" + game }

func (s *Store) replicaKey(owner string) string { return s.options.prefix + "replicas/" + owner }

// Open opens the count of a game: see store.Store. It becomes the owner of one that
// nobody owns, whose owner runs no longer, that this server owned before it was
// started again, or whose owner was reported to Refused. While etcd does not answer,
// the error is store.ErrNoOwner.
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
	case closed: // meanwhile
		c.Close(ctx)
		return nil, errClosed
	}
	return c, nil
}

// reserve makes sure that a game may be opened, and notes that it is being opened.
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

// checkRoom returns store.ErrTooMany if no further game may be kept.
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

// end returns the first key after all that begin with a prefix, whose last byte is
// no 0xff.
func end(prefix string) string {
	last := len(prefix) - 1
	return prefix[:last] + string(prefix[last]+1)
}

// Games lists games: see store.Store.
func (s *Store) Games(ctx context.Context, after string, n int) (games []store.Game, err error) {
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
			v, err := decodeGame(e) // 0 if it is damaged
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

// Ready returns why the counts cannot be written: that etcd does not answer, the
// error of the default game, or of any if more than half of the open games have one.
func (s *Store) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return s.away
	}
	failing := 0
	var failed error
	for game, c := range s.open {
		if c == nil {
			continue
		}
		if err := c.Ready(); err != nil {
			failing++
			failed = err
			if game == store.Default {
				return err
			}
		}
	}
	if 2*failing > len(s.open) {
		return failed
	}
	return nil
}

func (s *Store) forget(c *Count) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c.game)
}

// Close closes all counts, which gives their games up, and tells the other servers
// that this one has ended: see store.Store.
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
	if errors.Join(errs...) == nil { // or else counts may still use it
		s.register.close()
	}
	return errors.Join(errs...)
}
