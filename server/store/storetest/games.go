package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"counting/server/protocol"
	"counting/server/store"
)

// HostileNames are names that no game may have.
var HostileNames = []string{
	".", "..", "...", "a.b", "/", "a/b", "../a", "/etc/passwd", `a\b`, `..\a`, "a\x00", "\x00", "a\n", "\na", "a\r", " ", "a ", " a", "a b",
	"-", "-a", "a-", "A", "Blue", "é", "а", "a\u200b", "\xff", "%61", "a%00", "a+b", "a_b", "~", "*", "$HOME", "con:", "a,b", "a;b", "a?b", "a#b",
	strings.Repeat("a", 64), strings.Repeat("a", 10_000), strings.Repeat("a", 63) + "-",
}

// Names are names that a game may have.
var Names = []string{"a", "0", "blue", "a-b", "a--b", "0-0", "xn--bcher-kva", strings.Repeat("a", 63), "numbers"}

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
