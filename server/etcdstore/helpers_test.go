package etcdstore

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"counting/server/store"
)

// counting is a count whose Run has been called.
type counting struct {
	store.Count
	t       *testing.T
	written chan int64
	states  chan error
	ended   chan error
}

// start opens a game and runs its count.
func start(t *testing.T, s *Store, game string) *counting {
	t.Helper()
	count, err := s.Open(t.Context(), game, true)
	if err != nil {
		t.Fatalf("open %q at %s: %v", game, s.owner, err)
	}
	c := &counting{Count: count, t: t, written: make(chan int64, 1000), states: make(chan error, 100), ended: make(chan error, 1)}
	go func() {
		c.ended <- count.Run(store.Callbacks{
			OnCommit: func(upTo int64, _ time.Duration) { c.written <- upTo },
			OnHealth: func(err error) { c.states <- err },
		})
	}()
	return c
}

// countTo appends, and waits until that is written.
func (c *counting) countTo(last int64) {
	c.t.Helper()
	c.Append(last)
	for {
		select {
		case n := <-c.written:
			if n == last {
				return
			}
		case err := <-c.ended:
			c.t.Fatalf("Run ended before %d was written: %v", last, err)
		case <-time.After(time.Minute):
			c.t.Fatalf("%d is not written", last)
		}
	}
}

// fails waits until Run ends, which must be with that error and without a report.
func (c *counting) fails(want error) {
	c.t.Helper()
	select {
	case err := <-c.ended:
		if !errors.Is(err, want) {
			c.t.Errorf("Run ended with %v, want %v", err, want)
		}
	case <-time.After(time.Minute):
		c.t.Fatal("Run does not end")
	}
	select {
	case n := <-c.written:
		c.t.Errorf("%d was reported as written", n)
	default:
	}
}

// elsewhere makes sure that a game is owned by another store.
func elsewhere(t *testing.T, s *Store, game string, owner *Store) *store.Elsewhere {
	t.Helper()
	_, err := s.Open(t.Context(), game, true)
	e := new(store.Elsewhere)
	if !errors.As(err, &e) || e.Owner != owner.options.Name || e.Addr != owner.options.Addr || e.Secret != owner.options.Secret {
		t.Fatalf("open %q at %s: %v, want that it is at %s", game, s.owner, err, owner.owner)
	}
	return e
}

// inBubble runs a test with time of its own and two servers on one register, which
// is checked in the end.
func inBubble(t *testing.T, test func(t *testing.T, m *memoryRegister, a, b *client)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		test(t, m, &client{memoryRegister: m}, &client{memoryRegister: m})
		m.check(t)
	})
}

// check looks at everything that was written: a game's count never falls while it has
// a key, its epoch never either, and grows whenever its owner changes.
func (m *memoryRegister) check(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	last := make(map[string]gameValue)
	for _, w := range m.writes {
		if !strings.Contains(w.key, "games/") {
			continue
		}
		if w.value == nil {
			if last[w.key].Count > 0 {
				t.Errorf("a game with the count %d was deleted", last[w.key].Count)
			}
			delete(last, w.key)
			continue
		}
		v, err := decodeGame(entry{key: w.key, value: w.value})
		if err != nil {
			t.Error(err)
		}
		before, known := last[w.key]
		taken := v.Owner != before.Owner && v.Owner != ""
		if known && (v.Count < before.Count || v.Epoch < before.Epoch || taken && v.Epoch <= before.Epoch) {
			t.Errorf("%s: %+v was followed by %+v", w.key, before, v)
		}
		last[w.key] = v
	}
}
