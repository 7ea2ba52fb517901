// Package storetest has the tests that every store of counts must pass.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"counting/server/protocol"
	"counting/server/store"
)

// timeout is how long any operation of a store may take on a busy machine.
const timeout = time.Minute

// HostileNames are names that no game may have.
var HostileNames = []string{
	".", "..", "...", "a.b", "/", "a/b", "../a", "/etc/passwd", `a\b`, `..\a`, "a\x00", "\x00", "a\n", "\na", "a\r", " ", "a ", " a", "a b",
	"-", "-a", "a-", "A", "Blue", "é", "а", "a\u200b", "\xff", "%61", "a%00", "a+b", "a_b", "~", "*", "$HOME", "con:", "a,b", "a;b", "a?b", "a#b",
	strings.Repeat("a", 64), strings.Repeat("a", 10_000), strings.Repeat("a", 63) + "-",
}

// Names are names that a game may have.
var Names = []string{"a", "0", "blue", "a-b", "a--b", "0-0", "xn--bcher-kva", strings.Repeat("a", 63), "numbers"}

// Run tests a store. open opens a store that is initially empty, and keeps its games
// when it is closed and opened again; each test gets its own store, and calls open with
// its own *testing.T. The store must
// be able to keep at least ten games, and at most most games if that is not 0.
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

func (s *suite) apart() {
	games := []string{store.Default, "a", "b", "a-b"}
	var counts []*counting
	for _, game := range games {
		counts = append(counts, s.start(game))
	}
	for round := int64(1); round <= 10; round++ {
		for i, c := range counts {
			c.countTo(round * int64(i+1))
		}
	}
	s.reopen()
	for i, game := range games {
		if c := s.start(game); c.Last() != 10*int64(i+1) {
			s.Errorf("%q is at %d", game, c.Last())
		}
	}
}

func (s *suite) oneWriter() {
	for _, game := range []string{store.Default, "blue"} {
		c := s.start(game)
		if _, err := s.store.Open(s.Context(), game, true); !errors.Is(err, store.ErrInUse) {
			s.Errorf("%q is opened twice: %v", game, err)
		}
		c.countTo(2)
		c.close()
		s.start(game).close()
	}
}

func (s *suite) onlyCreate() {
	if _, err := s.store.Open(s.Context(), "blue", false); !errors.Is(err, store.ErrNotFound) {
		s.Errorf("a game that does not exist: %v", err)
	}
	c := s.start("blue")
	c.countTo(1)
	c.close()
	count, err := s.store.Open(s.Context(), "blue", false)
	if err != nil {
		s.Fatal(err)
	}
	count.Close(s.Context())
}

func (s *suite) names() {
	for _, name := range HostileNames {
		if _, err := s.store.Open(s.Context(), name, true); !errors.Is(err, protocol.ErrGame) || protocol.CheckGame(name) == nil {
			s.Errorf("the game %.80q: %v", name, err)
		}
	}
	if got := s.games("", 10); len(got) > 0 {
		s.Errorf("the store has games %v", got)
	}
	for _, name := range Names {
		c := s.start(name)
		c.countTo(1)
		c.close()
	}
}

// games returns the names of a page.
func (s *suite) games(after string, n int) (names []string) {
	s.Helper()
	page, err := s.store.Games(s.Context(), after, n)
	if err != nil {
		s.Fatal(err)
	}
	for _, g := range page {
		names = append(names, g.Name)
		if g.Last != int64(len(g.Name)) || time.Since(g.At).Abs() > 10*timeout {
			s.Errorf("listed is %+v", g)
		}
	}
	return names
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

func (s *suite) pages() {
	all := []string{"a", "a-b", "aa", "b", "blue", "red", "x-1"}
	for i := range all {
		name := all[(i*3)%len(all)]
		c := s.start(name)
		c.countTo(int64(len(name)))
		if i%2 == 0 {
			c.close()
		}
	}
	s.start(store.Default).countTo(9)
	for n := 1; n <= len(all)+1; n++ {
		var got []string
		for after := ""; ; after = got[len(got)-1] {
			page := s.games(after, n)
			if len(page) > n {
				s.Fatalf("a page of %d has %q", n, page)
			}
			if got = append(got, page...); len(page) < n {
				break
			}
			if len(got) > len(all) {
				s.Fatalf("in pages of %d there are %q, want %q", n, got, all)
			}
		}
		if !slices.Equal(got, all) {
			s.Errorf("in pages of %d there are %q, want %q", n, got, all)
		}
	}
	if got := s.games("aaa", 2); !slices.Equal(got, []string{"b", "blue"}) {
		s.Errorf("after a name that does not exist there are %q", got)
	}
}

func (s *suite) empty() {
	s.start("blue").close()
	if got := s.games("", 10); len(got) > 0 {
		s.Errorf("the store has games %q", got)
	}
	if _, err := s.store.Open(s.Context(), "blue", false); !errors.Is(err, store.ErrNotFound) {
		s.Errorf("it is opened: %v", err)
	}
}

func (s *suite) closed() {
	if err := s.store.Close(s.Context()); err != nil {
		s.Fatal(err)
	}
	for _, game := range []string{store.Default, "blue"} {
		if _, err := s.store.Open(s.Context(), game, true); err == nil {
			s.Errorf("%q is opened in a closed store", game)
		}
	}
}

func (s *suite) concurrent() {
	for _, game := range []string{store.Default, "a", "b", "c", "d", "e", "f"} {
		s.T.Run("game_"+game, func(t *testing.T) {
			t.Parallel()
			s := &suite{T: t, store: s.store}
			for round := int64(0); round < 5; round++ {
				c := s.start(game)
				if c.Last() != 10*round {
					s.Errorf("%q is at %d, want %d", game, c.Last(), 10*round)
				}
				c.countTo(10 * (round + 1))
				c.close()
				if _, err := s.store.Games(s.Context(), "", 10); err != nil || s.store.Ready() != nil {
					s.Errorf("meanwhile: %v, %v", err, s.store.Ready())
				}
			}
		})
	}
}

func (s *suite) bounded(most int) {
	names := make(map[int]string)
	for i := range most {
		names[i] = fmt.Sprintf("g%d", i)
		c := s.start(names[i])
		c.countTo(1)
		c.close()
	}
	if _, err := s.store.Open(s.Context(), "more", true); !errors.Is(err, store.ErrTooMany) {
		s.Errorf("one too many: %v", err)
	}
	s.reopen()
	if _, err := s.store.Open(s.Context(), "more", true); !errors.Is(err, store.ErrTooMany) {
		s.Errorf("one too many in a store that was opened again: %v", err)
	}
	s.start(names[0]).close()
	s.start(store.Default).close()
}
