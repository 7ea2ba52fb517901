package etcdstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"counting/server/store"
)

// confirmTime is the time from one look at the ownership of games in which nothing
// is written to the next: a server that was paused, and has lost a game, closes it
// within that time. Its clients would wait for ever.
const confirmTime = time.Second

// Confirm asks etcd whether this server still owns the game: see store.Count. Calls
// that come while etcd is asked share the next request.
func (c *Count) Confirm(ctx context.Context) error {
	called := time.Now()
	select {
	case c.confirming <- struct{}{}:
		defer func() { <-c.confirming }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", store.ErrNoOwner, context.Cause(ctx))
	}
	c.mu.Lock()
	failure, confirmed := c.failure, c.confirmed.After(called)
	c.mu.Unlock()
	switch {
	case failure != nil:
		return fmt.Errorf("%w: %w", store.ErrNoOwner, failure)
	case confirmed:
		return nil
	}
	began := time.Now()
	now, err := c.store.read(ctx, c.key)
	if err == nil {
		err = c.confirm(now, began)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrNoOwner, err)
	}
	return nil
}

// confirm looks at the entry that a request found that began then. If it is another
// owner's, it ends Run.
func (c *Count) confirm(now entry, began time.Time) error {
	if _, err := c.decode(now); err != nil {
		c.fail(err)
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.confirmedAt(began)
	return nil
}

// confirmedAt notes that this server was the owner at that time, or later. c.mu must
// be held.
func (c *Count) confirmedAt(began time.Time) {
	if began.After(c.confirmed) {
		c.confirmed = began
	}
}

// confirmAll looks at the ownership of all open games, again and again until ctx
// ends.
func (s *Store) confirmAll(ctx context.Context) {
	ticker := time.NewTicker(confirmTime)
	defer ticker.Stop()
	for ctx.Err() == nil { // or else select might take a tick that waits
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		for counts := range slices.Chunk(s.unconfirmed(), maxChanges) {
			keys := make([]string, len(counts))
			for i, c := range counts {
				keys[i] = c.key
			}
			began := time.Now()
			entries, err := s.readAll(ctx, keys)
			if err != nil {
				break // keep closes all games if that lasts
			}
			for i, c := range counts {
				c.confirm(entries[i], began)
			}
		}
	}
}

// unconfirmed returns the open games in which nothing was written of late, in the
// order of their keys.
func (s *Store) unconfirmed() (counts []*Count) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		if c == nil {
			continue
		}
		c.mu.Lock()
		if time.Since(c.confirmed) >= confirmTime/2 {
			counts = append(counts, c)
		}
		c.mu.Unlock()
	}
	slices.SortFunc(counts, func(a, b *Count) int { return cmp.Compare(a.key, b.key) })
	return counts
}
