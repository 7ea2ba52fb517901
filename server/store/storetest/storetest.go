// Package storetest has the tests that every store of counts must pass.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"counting/server/store"
)

// timeout is how long any operation of a store may take on a busy machine.
const timeout = time.Minute

// Run tests a store. open opens a store that is initially empty, and keeps its games
// when it is closed and opened again, so that one without a disk or a server needs an
// object that outlives it; each test gets its own store, and calls open with its own
// *testing.T. The store must be able to keep at least ten games, and at most most games
// if that is not 0.
func Run(t *testing.T, most int, open func(*testing.T) store.Store) {
	for name, test := range map[string]func(s *suite){
		"a_count_begins_at_0_and_continues":              (*suite).continues,
		"an_append_that_does_not_follow_panics":          (*suite).panics,
		"close_writes_what_is_queued":                    (*suite).closeWrites,
		"callbacks_may_append":                           (*suite).callbacks,
		"games_are_kept_apart":                           (*suite).apart,
		"a_count_has_one_writer":                         (*suite).oneWriter,
		"only_create_makes_a_game":                       (*suite).onlyCreate,
		"hostile_names_are_refused":                      (*suite).names,
		"games_are_listed_in_pages":                      (*suite).pages,
		"a_game_in_which_nothing_was_counted_is_deleted": (*suite).empty,
		"a_closed_store_refuses":                         (*suite).closed,
		"games_at_the_same_time":                         (*suite).concurrent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &suite{T: t, open: open}
			s.reopen()
			test(s)
		})
	}
	if most > 0 {
		t.Run("games_are_bounded", func(t *testing.T) {
			t.Parallel()
			s := &suite{T: t, open: open}
			s.reopen()
			s.bounded(most)
		})
	}
}

// suite is one test and its open store.
type suite struct {
	*testing.T
	open  func(*testing.T) store.Store
	store store.Store
}

// reopen closes the store and opens it again.
func (s *suite) reopen() {
	s.Helper()
	if s.store != nil {
		if err := s.store.Close(s.Context()); err != nil {
			s.Fatal(err)
		}
	}
	opened := s.open(s.T)
	s.store = opened
	s.Cleanup(func() { opened.Close(context.Background()) })
}

// counting is a count whose Run has been called.
type counting struct {
	store.Count
	s       *suite
	written chan int64
	ended   chan error
	ran     bool // Run is known to have begun
}

func (s *suite) start(game string) *counting {
	s.Helper()
	count, err := s.store.Open(s.Context(), game, true)
	if err != nil {
		s.Fatalf("open %q: %v", game, err)
	}
	c := &counting{Count: count, s: s, written: make(chan int64, 10_000), ended: make(chan error, 1)}
	go func() {
		c.ended <- count.Run(store.Callbacks{
			OnCommit: func(upTo int64, took time.Duration) {
				if took < 0 {
					s.Errorf("%d was written after %v", upTo, took)
				}
				c.written <- upTo
			},
			OnHealth: func(err error) { s.Errorf("the state is %v", err) },
		})
	}()
	return c
}

// countTo appends all numbers up to last, some of them in one call, and waits until
// they are written.
func (c *counting) countTo(last int64) {
	c.s.Helper()
	before := c.Last()
	for n := before; n < last; {
		n = min(n+1+n%3, last)
		c.Append(n)
		if c.Last() != n {
			c.s.Errorf("after Append(%d), Last is %d", n, c.Last())
		}
	}
	for written := before; written < last; {
		select {
		case n := <-c.written:
			if n <= written || n > last {
				c.s.Fatalf("%d was reported as written after %d, when %d was appended", n, written, last)
			}
			written, c.ran = n, true
		case <-time.After(timeout):
			c.s.Fatalf("%d is not written after %v", last, timeout)
		}
	}
}

func (c *counting) close() {
	c.s.Helper()
	if err := c.Close(c.s.Context()); err != nil {
		c.s.Error(err)
	}
	c.end()
	if err := c.Close(c.s.Context()); err != nil {
		c.s.Errorf("closed again: %v", err)
	}
}

// end waits until Run ends.
func (c *counting) end() {
	c.s.Helper()
	select {
	case err := <-c.ended:
		if err != nil && c.ran {
			c.s.Errorf("Run ended with %v", err)
		}
	case <-time.After(timeout):
		c.s.Fatal("Run does not end")
	}
}

func (s *suite) continues() {
	for _, game := range []string{store.Default, "blue"} {
		last := int64(0)
		for _, upTo := range []int64{1, 2, 50, 5000} {
			c := s.start(game)
			if o := c.Opened(); o.Last != last || !o.Unbroken || c.Last() != last || c.Ready() != nil || c.Confirm(s.Context()) != nil {
				s.Errorf("%q begins with %+v at %d, want %d", game, o, c.Last(), last)
			}
			c.countTo(upTo)
			last = upTo
			c.close()
			c.Append(upTo + 1)
			if upTo == 50 {
				s.reopen()
			}
		}
	}
}

func (s *suite) panics() {
	c := s.start("blue")
	c.countTo(5)
	for _, n := range []int64{5, 4, 0, -1} {
		func() {
			defer func() {
				if recover() == nil {
					s.Errorf("%d was appended after 5", n)
				}
			}()
			c.Append(n)
		}()
	}
	c.countTo(6)
	c.close()
}

func (s *suite) closeWrites() {
	count, err := s.store.Open(s.Context(), "blue", true)
	if err != nil {
		s.Fatal(err)
	}
	count.Append(3)
	if err := count.Close(s.Context()); err != nil {
		s.Fatal(err)
	}
	if err := count.Run(store.Callbacks{}); err == nil {
		s.Error("a closed count runs")
	}
	red := s.start("red")
	red.Append(7)
	s.reopen() // closing the store closes the counts
	red.end()
	for game, want := range map[string]int64{"blue": 3, "red": 7} {
		c := s.start(game)
		if c.Last() != want {
			s.Errorf("%s is at %d, want %d", game, c.Last(), want)
		}
		c.close()
	}
}

// callbacks appends within OnCommit, and closes a count while OnCommit blocks.
func (s *suite) callbacks() {
	c, err := s.store.Open(s.Context(), "blue", true)
	if err != nil {
		s.Fatal(err)
	}
	reached, proceed := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- c.Run(store.Callbacks{OnCommit: func(upTo int64, took time.Duration) {
			if took < 0 || took > timeout {
				s.Errorf("%d was queued for %v", upTo, took)
			}
			if upTo < 5 {
				c.Append(upTo + 1)
				return
			}
			close(reached)
			<-proceed
		}})
	}()
	c.Append(1)
	<-reached
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("the test does not wait")
	cancel(cause)
	if err := c.Close(ctx); !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
		s.Errorf("Close while OnCommit blocks: %v", err)
	}
	c.Append(6) // does nothing
	if last := c.Last(); last != 5 {
		s.Errorf("after Close the last number is %d", last)
	}
	close(proceed)
	closed, ran := c.Close(context.Background()), <-ended
	if (closed == nil) != (ran == nil) {
		s.Errorf("Close returns %v, and Run %v", closed, ran)
	}
}
