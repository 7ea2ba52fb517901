package etcdstore

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"counting/server/store"
)

func TestAPausedOwnerIsFenced(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memoryRegister, a, b *client) {
		one, two := open(t, a, Options{Name: "one"}), open(t, b, Options{Name: "two"})
		defer one.Close(context.Background())
		defer two.Close(context.Background())
		old := start(t, one, "blue")
		old.countTo(5)
		elsewhere(t, two, "blue", one)

		// One is paused, as by SIGSTOP, with a write on its way.
		resume := make(chan struct{})
		a.setFault(func(context.Context, string) fault { <-resume; return fault{} })
		old.Append(6)
		time.Sleep(leaseTime + time.Second)
		taken := start(t, two, "blue")
		if taken.Last() != 5 {
			t.Errorf("it goes on after %d", taken.Last())
		}
		taken.countTo(9)
		a.setFault(nil)
		close(resume)
		old.fails(ErrFenced)
		old.Append(7) // does nothing
		if err := old.Close(t.Context()); !errors.Is(err, ErrFenced) {
			t.Errorf("Close: %v", err)
		}
		if one.Stats().Fenced != 1 || two.Stats().Takeovers != 1 {
			t.Errorf("the stats are %+v and %+v", one.Stats(), two.Stats())
		}
		taken.countTo(10)
		elsewhere(t, one, "blue", two)
	})
}

func TestUnknownOutcomes(t *testing.T) {
	for name, f := range map[string]fault{"that_were_carried_out": {after: errLost}, "that_were_not": {before: errLost}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, m *memoryRegister, a, _ *client) {
				s := open(t, a, Options{})
				defer s.Close(context.Background())
				c := start(t, s, "blue")
				for n := int64(1); n < 50; n++ {
					failing := true
					a.setFault(func(_ context.Context, request string) fault {
						if request == "commit" && failing {
							failing = false
							return f
						}
						return fault{}
					})
					c.countTo(n)
				}
				if s.Stats().Unknown != 49 {
					t.Errorf("the stats are %+v", s.Stats())
				}
			})
		})
	}
}

// A commit may be carried out long after its answer was given up, between the read
// that found nothing of it and the next commit.
func TestACommitThatIsCarriedOutLate(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memoryRegister, a, late *client) {
		s := open(t, a, Options{})
		defer s.Close(context.Background())
		c := start(t, s, "blue")
		c.countTo(3)
		commits, held := 0, make(chan struct{})
		a.setFault(func(ctx context.Context, request string) fault {
			if request != "commit" {
				return fault{}
			}
			if commits++; commits == 1 {
				return fault{before: errLost}
			}
			if commits == 2 {
				close(held)
				now, _ := late.read(ctx, s.gameKey("blue"))
				v, _ := decodeGame(now)
				v.Count = 4
				if out, err := late.commit(ctx, []change{{key: now.key, expected: now.revision, value: v.encode()}}); err != nil || !out[0].done {
					t.Errorf("the late commit: %+v, %v", out, err)
				}
			}
			return fault{}
		})
		c.Append(4)
		<-held
		c.Append(5)
		for n := range c.written {
			if n == 5 {
				break
			}
		}
		if st := s.Stats(); st.Conflicts != 1 || st.Fenced != 0 {
			t.Errorf("the stats are %+v", st)
		}
	})
}

func TestTheOutcomeOfAClaimIsUnknown(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memoryRegister, a, b *client) {
		one, two := open(t, a, Options{Name: "one"}), open(t, b, Options{Name: "two"})
		defer two.Close(context.Background())
		defer one.Close(context.Background())
		failing := true
		a.setFault(func(_ context.Context, request string) fault {
			if request == "commit" && failing {
				failing = false
				return fault{after: errLost}
			}
			return fault{}
		})
		start(t, one, "blue").countTo(2)
		elsewhere(t, two, "blue", one)
	})
}

// etcd that is away for too long ends all counts. What was written is found again
// here or elsewhere.
func TestEtcdIsAway(t *testing.T) {
	for name, away := range map[string]func(context.Context, string) fault{"refusing_connections": cut, "silent": hang} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, m *memoryRegister, a, b *client) {
				one, two := open(t, a, Options{Name: "one"}), open(t, b, Options{Name: "two"})
				defer two.Close(context.Background())
				defer one.Close(context.Background())
				busy, idle, moved := start(t, one, "busy"), start(t, one, "idle"), start(t, one, "moved")
				for _, c := range []*counting{busy, idle, moved} {
					c.countTo(3)
				}
				began := time.Now()
				a.setFault(away)
				busy.Append(4)
				time.Sleep(time.Second)
				if err := one.Ready(); err != nil {
					t.Errorf("after a second: %v", err)
				}
				busy.fails(ErrAway)
				idle.fails(ErrAway)
				moved.fails(ErrAway)
				if took := time.Since(began); took < 1500*time.Millisecond || took > 3500*time.Millisecond {
					t.Errorf("the counts ended after %v", took)
				}
				time.Sleep(time.Second)
				if err := one.Ready(); !errors.Is(err, ErrAway) || two.Ready() != nil {
					t.Errorf("ready: %v, %v", err, two.Ready())
				}
				if _, err := one.Open(t.Context(), "idle", true); !errors.Is(err, store.ErrNoOwner) {
					t.Errorf("opened while etcd is away: %v", err)
				}
				start(t, two, "moved").countTo(8)
				a.setFault(nil)
				time.Sleep(time.Second)
				if err := one.Ready(); err != nil {
					t.Errorf("etcd is back: %v", err)
				}
				start(t, one, "busy").countTo(5)
				elsewhere(t, one, "moved", two)
				elsewhere(t, two, "busy", one) // its key is there again
			})
		})
	}
}

func TestWhoMayTakeOver(t *testing.T) {
	t.Run("what_was_given_up", func(t *testing.T) {
		inBubble(t, func(t *testing.T, m *memoryRegister, a, b *client) {
			one, two := open(t, a, Options{Name: "one"}), open(t, b, Options{Name: "two"})
			defer one.Close(context.Background())
			defer two.Close(context.Background())
			c := start(t, one, "blue")
			c.countTo(4)
			c.Close(t.Context())
			if c := start(t, two, "blue"); c.Last() != 4 {
				t.Errorf("it goes on after %d", c.Last())
			}
			if two.Stats().Takeovers != 0 {
				t.Errorf("the stats are %+v", two.Stats())
			}
		})
	})
	t.Run("from_a_server_that_has_died", func(t *testing.T) {
		inBubble(t, func(t *testing.T, m *memoryRegister, a, b *client) {
			one, two := open(t, a, Options{Name: "one"}), open(t, b, Options{Name: "two"})
			start(t, one, "blue").countTo(4)
			a.setFault(cut)
			elsewhere(t, two, "blue", one)
			time.Sleep(leaseTime + beat + rememberTime)
			start(t, two, "blue").countTo(5)
			one.Close(context.Background())
			two.Close(context.Background())
		})
	})
	t.Run("from_an_earlier_incarnation", func(t *testing.T) {
		inBubble(t, func(t *testing.T, m *memoryRegister, a, b *client) {
			one := open(t, a, Options{Name: "one"})
			start(t, one, "blue").countTo(4)
			again := open(t, b, Options{Name: "one"})
			start(t, again, "blue").countTo(5) // though one's lease runs
			_, err := one.Open(t.Context(), "red", true)
			if err != nil {
				t.Error(err)
			}
			start(t, again, "green").countTo(1)
			elsewhere(t, one, "green", again) // but never from a later one
			one.Close(context.Background())
			again.Close(context.Background())
		})
	})
	t.Run("from_one_whose_address_refuses", func(t *testing.T) {
		inBubble(t, func(t *testing.T, m *memoryRegister, a, b *client) {
			one, two := open(t, a, Options{Name: "one"}), open(t, b, Options{Name: "two"})
			defer one.Close(context.Background())
			defer two.Close(context.Background())
			old := start(t, one, "blue")
			old.countTo(4)
			two.Refused(&store.Elsewhere{Owner: "one", Addr: "unknown:1"}) // of nobody
			two.Refused(elsewhere(t, two, "blue", one))
			start(t, two, "blue").countTo(5)
			old.Append(5)
			old.fails(ErrFenced)
			start(t, one, "red").countTo(1)
			time.Sleep(leaseTime)
			elsewhere(t, two, "red", one) // it was long ago
		})
	})
}

// A lease that has ended is granted again, and no game moves.
func TestTheLeaseEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memoryRegister, a, b *client) {
		one, two := open(t, a, Options{Name: "one"}), open(t, b, Options{Name: "two"})
		defer one.Close(context.Background())
		defer two.Close(context.Background())
		c := start(t, one, "blue")
		c.countTo(2)
		one.mu.Lock()
		l := one.lease
		one.mu.Unlock()
		if err := b.revoke(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * beat)
		elsewhere(t, two, "blue", one)
		c.countTo(3)
	})
}

// What etcd refuses is tried again, and the state says so.
func TestEtcdRefuses(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memoryRegister, a, _ *client) {
		s := open(t, a, Options{})
		defer s.Close(context.Background())
		c := start(t, s, store.Default)
		c.countTo(2)
		full := errors.Join(errRefused, errors.New("no space"))
		var commits atomic.Int64
		a.setFault(func(_ context.Context, request string) fault {
			if request != "commit" {
				return fault{}
			}
			if commits.Add(1) > 1000 {
				panic("commits are made without a pause")
			}
			return fault{before: full}
		})
		if _, err := s.Open(t.Context(), "blue", true); !errors.Is(err, store.ErrNoOwner) || !errors.Is(err, errRefused) {
			t.Errorf("a game cannot be opened: %v", err)
		}
		c.Append(3)
		if err := <-c.states; !errors.Is(err, errRefused) {
			t.Errorf("the state is %v", err)
		}
		time.Sleep(time.Minute)
		if err := s.Ready(); !errors.Is(err, errRefused) || !errors.Is(c.Ready(), errRefused) {
			t.Errorf("ready: %v", err)
		}
		a.setFault(nil)
		if err := <-c.states; err != nil {
			t.Errorf("the state is %v", err)
		}
		if n := <-c.written; n != 3 || s.Ready() != nil {
			t.Errorf("written is %d, ready is %v", n, s.Ready())
		}
	})
}

func TestValuesOfOthersAreLeftAlone(t *testing.T) {
	for name, value := range map[string]string{
		"no_JSON":             "4711",
		"another_field":       `{"count":1,"epoch":1,"owner":"","at":1,"seats":2}`,
		"more_behind_it":      `{"count":1,"epoch":1,"owner":"","at":1}{}`,
		"a_count_below_0":     `{"count":-1,"epoch":1,"owner":"","at":1}`,
		"no_epoch":            `{"count":1,"owner":"","at":1}`,
		"no_time":             `{"count":1,"epoch":1,"owner":""}`,
		"a_count_beyond_2^63": `{"count":9223372036854775808,"epoch":1,"owner":"","at":1}`,
		"empty":               "",
		"too_long":            `{"count":1,"epoch":1,"at":1,"owner":"` + strings.Repeat("x", maxValue) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, m *memoryRegister, a, b *client) {
				s := open(t, a, Options{})
				defer s.Close(context.Background())
				for _, game := range []string{"blue", "red"} {
					c := start(t, s, game)
					c.countTo(7)
					if game == "blue" {
						c.Close(t.Context())
					}
				}
				m.mu.Lock()
				for _, game := range []string{"blue", "red"} {
					m.revision++
					m.entries[s.gameKey(game)] = &memoryEntry{entry: entry{s.gameKey(game), []byte(value), m.revision}}
				}
				m.mu.Unlock()
				if _, err := s.Open(t.Context(), "blue", true); err == nil || !strings.Contains(err.Error(), "games/blue") {
					t.Errorf("opened: %v", err)
				}
				s.mu.Lock()
				running := s.open["red"]
				s.mu.Unlock()
				running.Append(8)
				<-running.done
				if !errors.Is(running.result, ErrFenced) {
					t.Errorf("a running count: %v", running.result)
				}
				for _, game := range []string{"blue", "red"} {
					if now, _ := b.read(t.Context(), s.gameKey(game)); string(now.value) != value {
						t.Errorf("it was overwritten with %q", now.value)
					}
				}
			})
		})
	}
}

// The games of a server that have something to write share commits, and a game is
// never in two at the same time.
func TestGamesShareCommits(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memoryRegister, a, _ *client) {
		s := open(t, a, Options{})
		defer s.Close(context.Background())
		var counts []*counting
		for i := range 250 {
			c := start(t, s, "g"+string(rune('a'+i%26))+strings.Repeat("x", i/26))
			counts = append(counts, c)
		}
		var commits atomic.Int64
		a.setFault(func(_ context.Context, request string) fault {
			if request == "commit" {
				commits.Add(1)
				time.Sleep(100 * time.Millisecond)
			}
			return fault{}
		})
		for n := int64(1); n <= 20; n++ {
			for _, c := range counts {
				c.Append(n)
			}
		}
		for _, c := range counts {
			for n := range c.written {
				if n == 20 {
					break
				}
			}
		}
		if commits := commits.Load(); commits > 12 {
			t.Errorf("5,000 numbers of 250 games took %d commits", commits)
		}
	})
}
