package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"counting/server/store"
)

// Errors of Count.Run. They are wrapped. After either, nothing is reported as written
// any more.
var (
	// ErrFenced: another server, or a later opening on this one, has taken the
	// ownership.
	ErrFenced = errors.New("the game has another owner now")
	// ErrAway: etcd has not answered for 2 s.
	ErrAway = errors.New("etcd does not answer")
)

const (
	// firstRetry and lastRetry bound the wait between attempts to write while etcd
	// refuses writes, or to read while it does not answer. It doubles each time.
	firstRetry = 10 * time.Millisecond
	lastRetry  = time.Second
)

// Count is the count of a game that this store owns. It is a store.Count.
type Count struct {
	store  *Store
	game   string
	key    string
	opened store.Opened

	started atomic.Bool   // by Run, or by Close in its place
	done    chan struct{} // closed when the game is released
	result  error         // of Run; valid once done is closed

	confirming chan struct{} // has an element while Confirm asks etcd

	// Used only by Run, and before it.
	epoch    int64
	revision int64 // of the key
	kept     int64 // the count that is known to be in etcd

	mu      sync.Mutex
	changed sync.Cond
	last    int64
	taken   int64     // the count of the last commit
	since   time.Time // when the first number after kept was appended
	after   time.Time // when the first number after taken was appended
	at      time.Time // when the last number was written
	// confirmed is when the last request began that found this server as the owner.
	confirmed time.Time
	state     error
	failure   error // ends Run
	closed    bool  // Append does nothing
}

// newCount returns the count of a game whose value this store has just written as its
// new owner.
func newCount(s *Store, game string, v gameValue, revision int64) *Count {
	c := &Count{
		store: s, game: game, key: s.gameKey(game), done: make(chan struct{}), confirming: make(chan struct{}, 1), confirmed: time.Now(),
		epoch: v.Epoch, revision: revision, kept: v.Count, last: v.Count, taken: v.Count, at: v.at(),
		opened: store.Opened{Last: v.Count, Unbroken: true, At: v.at(),
			Text: fmt.Sprintf("the count is at %d, and this server owns the game with epoch %d", v.Count, v.Epoch)},
	}
	c.changed.L = &c.mu
	return c
}

// Opened returns what was found when the count was opened.
func (c *Count) Opened() store.Opened { return c.opened }

// Last returns the number that was appended last, initially Opened().Last.
func (c *Count) Last() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// Append appends all numbers up to upTo: see store.Count.
func (c *Count) Append(upTo int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if upTo <= c.last {
		panic(fmt.Sprintf("etcdstore: %d is appended after %d", upTo, c.last))
	}
	if c.since.IsZero() {
		c.since = time.Now()
		c.changed.Signal()
	} else if c.last == c.taken {
		c.after = time.Now()
	}
	c.last = upTo
}

// Ready returns nil if the last write succeeded, and otherwise its error.
func (c *Count) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Run writes what is appended until Close is called: see store.Count. While etcd refuses
// writes, for instance because its space is used up, Run retries. It ends with ErrFenced,
// ErrAway, or, when the context of Close ends, the error of Close.
func (c *Count) Run(r store.Callbacks) error {
	if c.started.Swap(true) {
		return errors.New("etcdstore: the count is run twice, or closed")
	}
	return c.run(r)
}

func (c *Count) run(r store.Callbacks) error {
	if r.OnCommit == nil {
		r.OnCommit = func(int64, time.Duration) {}
	}
	if r.OnHealth == nil {
		r.OnHealth = func(error) {}
	}
	c.result = c.write(r)
	if errors.Is(c.result, ErrFenced) {
		c.store.stats.fenced.Add(1)
	}
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	if c.result == nil {
		c.giveUp()
	}
	c.store.forget(c)
	close(c.done)
	return c.result
}

func (c *Count) write(r store.Callbacks) error {
	wait := firstRetry
	var failing time.Time // when the first write began that etcd has not answered, or zero
	for {
		if more, err := c.wait(); err != nil || !more {
			return err
		}
		began := time.Now()
		out, err := c.store.commits.change(change{key: c.key, expected: c.revision}, c.next)
		if err == nil && out.done {
			c.store.stats.appends.Add(1)
			c.revision, wait, failing = out.now.revision, firstRetry, time.Time{}
			c.setState(nil, r)
			c.written(c.taken, r)
			continue
		}
		now := out.now
		switch {
		case err == nil:
			c.store.stats.conflicts.Add(1)
		case errors.Is(err, errRefused): // nothing was changed
			c.setState(err, r)
			c.pause(wait)
			wait = min(2*wait, lastRetry)
			continue
		default:
			c.store.stats.unknown.Add(1)
			if failing.IsZero() {
				failing = began
			}
			if time.Since(failing) >= c.store.options.away {
				c.setState(fmt.Errorf("%w: it has not written since %s: %w", ErrAway, failing.UTC().Format(time.TimeOnly), err), r)
			}
			if now, err = c.ask(began); err != nil {
				return err
			}
		}
		kept := c.kept
		if err := c.adopt(now, r); err != nil {
			return err
		}
		if c.kept > kept {
			wait, failing = firstRetry, time.Time{}
		} else if !failing.IsZero() {
			c.pause(wait)
			wait = min(2*wait, lastRetry)
		}
	}
}

// wait waits until there are numbers to write. It reports false if there are none
// and the count is closed, and returns the error that ends Run.
func (c *Count) wait() (more bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.failure == nil && c.last == c.kept && !c.closed {
		c.changed.Wait()
	}
	return c.last > c.kept, c.failure
}

// next returns the value for the next commit: all numbers that were appended.
func (c *Count) next() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken, c.after = c.last, time.Time{}
	c.at = time.Now()
	return gameValue{Count: c.last, Epoch: c.epoch, Owner: c.store.owner, At: millis(c.at)}.encode()
}

// written reports that all numbers up to upTo are committed.
func (c *Count) written(upTo int64, r store.Callbacks) {
	c.mu.Lock()
	took := time.Since(c.since)
	c.kept = upTo
	c.confirmedAt(c.at)
	if upTo == c.taken {
		c.since = c.after
	}
	c.mu.Unlock()
	r.OnCommit(upTo, took)
}

// ask reads the key after a commit of unknown outcome, which began at that time. If the
// commit is carried out later, the next one finds its value.
func (c *Count) ask(began time.Time) (entry, error) {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		now, err := c.store.read(context.Background(), c.key)
		if err == nil {
			return now, nil
		}
		if time.Since(began) >= c.store.options.away {
			return entry{}, fmt.Errorf("%w: %w", ErrAway, err)
		}
		if err := c.pause(wait); err != nil {
			return entry{}, err
		}
	}
}

// adopt continues from an entry that differs from the last known one.
func (c *Count) adopt(now entry, r store.Callbacks) error {
	v, err := c.decode(now)
	switch {
	case err != nil:
		return err
	case v.Count < c.kept || v.Count > c.taken:
		return fmt.Errorf("%w: etcd has the count %d, and this server has written %d; was a backup restored?", ErrFenced, v.Count, c.kept)
	}
	c.revision = now.revision
	if v.Count > c.kept {
		c.store.stats.appends.Add(1)
		c.setState(nil, r)
		c.written(v.Count, r)
	}
	return nil
}

// decode returns the value of an entry that was found, or ErrFenced if another
// opening of the game has written it.
func (c *Count) decode(now entry) (gameValue, error) {
	if now.revision == 0 {
		return gameValue{}, fmt.Errorf("%w: etcd has no key %q any longer", ErrFenced, c.key)
	}
	v, err := decodeGame(now)
	switch {
	case err != nil:
		return v, fmt.Errorf("%w: %w", ErrFenced, err)
	case v.Owner != c.store.owner || v.Epoch != c.epoch:
		return v, fmt.Errorf("%w: %s, with epoch %d; this server had epoch %d", ErrFenced, whose(v.Owner), v.Epoch, c.epoch)
	}
	return v, nil
}

func whose(owner string) string {
	if owner == "" {
		return "nobody"
	}
	return owner
}

// pause waits for d, or until an error ends Run, which it returns.
func (c *Count) pause(d time.Duration) error {
	over := false
	timer := time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		over = true
		c.changed.Broadcast()
	})
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.failure == nil && !over {
		c.changed.Wait()
	}
	return c.failure
}

// setState calls OnHealth if err changes the state from working to failing or back.
func (c *Count) setState(err error, r store.Callbacks) {
	c.mu.Lock()
	changed := (c.state == nil) != (err == nil)
	c.state = err
	c.mu.Unlock()
	if changed {
		r.OnHealth(err)
	}
}

// fail ends Run with an error.
func (c *Count) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.failure == nil {
		c.failure = err
	}
	c.changed.Broadcast()
}

// giveUp releases the ownership of the game, or deletes the key of a game in which
// nothing was counted. If that fails, another server can become the owner after this
// one has ended.
func (c *Count) giveUp() {
	v := gameValue{Count: c.kept, Epoch: c.epoch, At: millis(c.at)}
	value := v.encode
	if c.kept == 0 {
		value = func() []byte { return nil }
	}
	c.store.commits.change(change{key: c.key, expected: c.revision}, value)
}

// Close writes what is queued and releases the game: see store.Count.
func (c *Count) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.changed.Broadcast()
	c.mu.Unlock()
	if !c.started.Swap(true) {
		go c.run(store.Callbacks{})
	}
	select {
	case <-c.done:
		return c.result
	case <-ctx.Done():
		c.fail(fmt.Errorf("the count was closed with numbers unwritten: %w", context.Cause(ctx)))
		return fmt.Errorf("close the count with numbers unwritten: %w", context.Cause(ctx))
	}
}
