package lobby

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const idleTimeout = time.Minute

// testLobby is a lobby of fake games. It records which are opened and closed.
type testLobby struct {
	*Lobby[*fakeGame]
	t *testing.T

	mu      sync.Mutex
	exists  map[string]bool
	opened  []string
	closed  []string
	opening int
	most    int                             // the most that were being opened at the same time
	open    func(ctx context.Context) error // called while a game is opened
	close   func()                          // called while a game is closed
}

type fakeGame struct {
	name string
	drop func()
}

// newLobby returns a lobby, in a synctest bubble.
func newLobby(t *testing.T, maxGames int) *testLobby {
	h := &testLobby{t: t, exists: make(map[string]bool), open: func(context.Context) error { return nil }, close: func() {}}
	h.Lobby = New(Options[*fakeGame]{
		Open: func(ctx context.Context, name string, create bool, drop func()) (*fakeGame, error) {
			h.mu.Lock()
			open := h.open
			h.opened = append(h.opened, name)
			h.opening++
			h.most = max(h.most, h.opening)
			exists := h.exists[name]
			h.mu.Unlock()
			err := open(ctx)
			h.mu.Lock()
			defer h.mu.Unlock()
			h.opening--
			if err != nil {
				return nil, err
			}
			if !exists && !create {
				return nil, errMissing
			}
			h.exists[name] = true
			return &fakeGame{name, drop}, nil
		},
		Close: func(name string, game *fakeGame) {
			if game.name != name {
				t.Errorf("%s is closed as %s", game.name, name)
			}
			h.mu.Lock()
			close := h.close
			h.mu.Unlock()
			close()
			h.mu.Lock()
			defer h.mu.Unlock()
			h.closed = append(h.closed, name)
		},
		MaxGames:    maxGames,
		IdleTimeout: idleTimeout,
	})
	return h
}

var errMissing = errors.New("there is no such game")

func (h *testLobby) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

// enter enters a game, and fails the test if that is not possible.
func (h *testLobby) acquire(name string) (game *fakeGame, release func()) {
	h.t.Helper()
	game, release, err := h.Acquire(h.t.Context(), name, true)
	if err != nil || game.name != name {
		h.t.Fatalf("enter %s: %v, %v", name, game, err)
	}
	return game, release
}

// expect compares what was opened and closed since the last call.
func (h *testLobby) expect(opened, closed string) {
	h.t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if got := strings.Join(h.opened, " "); got != opened {
		h.t.Errorf("opened were %q, want %q", got, opened)
	}
	if got := strings.Join(h.closed, " "); got != closed {
		h.t.Errorf("closed were %q, want %q", got, closed)
	}
	h.opened, h.closed = nil, nil
}

func (h *testLobby) names() string {
	var names []string
	for _, g := range h.Games() {
		names = append(names, g.name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestAGameIsClosedSomeTimeAfterTheLastHasLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newLobby(t, 0)
		first, release1 := h.acquire("blue")
		second, release2 := h.acquire("blue")
		if first != second {
			t.Error("there are two games of one name")
		}
		h.expect("blue", "")
		release1()
		release1() // has no further effect
		time.Sleep(10 * idleTimeout)
		h.expect("", "")
		release2()
		time.Sleep(idleTimeout - 1)
		h.expect("", "")
		_, release := h.acquire("blue") // in time
		time.Sleep(10 * idleTimeout)
		h.expect("", "")
		release()
		time.Sleep(idleTimeout - 1)
		if h.names() != "blue" {
			t.Errorf("the games are %s", h.names())
		}
		time.Sleep(time.Nanosecond)
		h.expect("", "blue")
		if h.names() != "" {
			t.Errorf("the games are %s", h.names())
		}
		again, release := h.acquire("blue")
		if again == first {
			t.Error("a closed game is entered")
		}
		h.expect("blue", "")
		release()
		time.Sleep(idleTimeout)
		h.expect("", "blue")
	})
}

// With any number of concurrent calls a game is opened once; a call that is canceled
// does not affect the others.
func TestConcurrentOpens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newLobby(t, 0)
		h.open = func(ctx context.Context) error { time.Sleep(5 * time.Second); return ctx.Err() }
		var entered sync.WaitGroup
		for i := range 100 {
			entered.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%2)*time.Minute+time.Second)
				defer cancel()
				_, release, err := h.Acquire(ctx, fmt.Sprint(i%3), true)
				if (err != nil) != (i%2 == 0) || err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("visitor %d: %v", i, err)
				}
				if err == nil {
					release()
				}
			})
		}
		entered.Wait()
		if opened := len(h.opened); opened != 3 || h.names() != "0 1 2" {
			t.Errorf("%d games were opened, there are %s", opened, h.names())
		}
		time.Sleep(idleTimeout)
		synctest.Wait()
		if len(h.closed) != 3 {
			t.Errorf("closed were %q", h.closed)
		}
	})
}

// Opening uses the disk, so few games are opened at the same time, and those that no
// caller waits for any longer are not opened.
func TestOpeningIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newLobby(t, 0)
		h.open = func(context.Context) error { time.Sleep(900 * time.Millisecond); return nil }
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var entered sync.WaitGroup
		failed := make(chan error, 100)
		for i := range 100 {
			entered.Go(func() {
				_, release, err := h.Acquire(ctx, fmt.Sprint(i), true)
				if err != nil {
					failed <- err
					return
				}
				release()
			})
		}
		entered.Wait()
		synctest.Wait()
		if h.most != maxOpening || len(failed) != 100-11*maxOpening {
			t.Errorf("%d were opened at the same time, %d failed", h.most, len(failed))
		}
		for range len(failed) {
			if err := <-failed; !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if opened := len(h.opened); opened != 12*maxOpening {
			t.Errorf("%d games were opened", opened)
		}
		time.Sleep(2 * idleTimeout)
		synctest.Wait()
		if games := len(h.games); games != 0 {
			t.Errorf("%d games are left", games)
		}
	})
}

// A caller that arrives just after all others were canceled still gets the game.
func TestWhoComesLateIsNotGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newLobby(t, 0)
		h.open = func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second) // it hangs for some more time
			return ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := h.Acquire(ctx, "blue", true); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
		h.set(func() { h.open = func(context.Context) error { return nil } })
		_, release := h.acquire("blue")
		release()
		h.expect("blue blue", "")
		time.Sleep(2 * idleTimeout)
		h.expect("", "blue")
	})
}

// All callers that wait for a game that cannot be opened get the error, which is not
// cached.
func TestAFailedOpenIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newLobby(t, 0)
		bad := errors.New("bad disk")
		h.open = func(context.Context) error { time.Sleep(time.Second); return bad }
		var entered sync.WaitGroup
		for range 10 {
			entered.Go(func() {
				if _, _, err := h.Acquire(t.Context(), "blue", true); err != bad {
					t.Errorf("the error is %v", err)
				}
			})
		}
		entered.Wait()
		h.expect("blue", "")
		h.set(func() { h.open = func(context.Context) error { return nil } })
		_, release := h.acquire("blue")
		h.expect("blue", "")
		release()
		time.Sleep(idleTimeout)
		h.expect("", "blue")
	})
}

// A caller without create does not create a game, and does not prevent others from
// creating it.
// Who comes while a game that is lost already is still being opened waits, and opens it
// again, also if that fails.
func TestWhoComesToAGameThatIsLostAlready(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{nil, errors.New("the disk is full")} {
		synctest.Test(t, func(t *testing.T) {
			opens, goOn := 0, make(chan struct{})
			l := New(Options[int]{
				Open: func(_ context.Context, _ string, _ bool, drop func()) (int, error) {
					if opens++; opens > 1 {
						return opens, nil
					}
					drop()
					<-goOn
					return opens, failure
				},
				Close:       func(string, int) {},
				IdleTimeout: idleTimeout,
			})
			type result struct {
				game int
				err  error
			}
			acquire := func() chan result {
				got := make(chan result, 1)
				go func() {
					game, _, err := l.Acquire(t.Context(), "a", true)
					got <- result{game, err}
				}()
				synctest.Wait()
				return got
			}
			first, second := acquire(), acquire()
			close(goOn)
			if got := <-first; got.err != failure {
				t.Errorf("the first gets %+v", got)
			}
			if got := <-second; got.game != 2 || got.err != nil {
				t.Errorf("the second gets %+v", got)
			}
		})
	}
}

func TestOnlyCreateMakesAGame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newLobby(t, 0)
		if _, _, err := h.Acquire(t.Context(), "blue", false); err != errMissing {
			t.Errorf("without create it is %v", err)
		}
		h.open = func(context.Context) error { time.Sleep(time.Second); return nil }
		go func() {
			if _, _, err := h.Acquire(t.Context(), "blue", false); err != errMissing {
				t.Errorf("without create it is %v", err)
			}
		}()
		synctest.Wait()
		_, release := h.acquire("blue") // while it is opened for the other
		release()
		h.expect("blue blue blue", "")
		_, release, err := h.Acquire(t.Context(), "blue", false)
		if err != nil {
			t.Fatal(err)
		}
		release()
		time.Sleep(2 * idleTimeout)
		h.expect("", "blue")
	})
}

// When MaxGames are open, the game that has been idle for the longest time is closed.
func TestGamesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newLobby(t, 3)
		_, leaveA := h.acquire("a")
		_, leaveB := h.acquire("b")
		h.acquire("c")
		if _, _, err := h.Acquire(t.Context(), "d", true); err != ErrFull {
			t.Errorf("one too many: %v", err)
		}
		h.expect("a b c", "")
		leaveB()
		time.Sleep(time.Second)
		leaveA()
		h.set(func() { h.close = func() { time.Sleep(time.Second) } })
		began := time.Now()
		h.acquire("d")
		if time.Since(began) != time.Second {
			t.Errorf("it is entered after %v, while another is closed", time.Since(began))
		}
		h.expect("d", "b")
		h.acquire("b")
		h.expect("b", "a")
		if _, _, err := h.Acquire(t.Context(), "a", true); err != ErrFull {
			t.Errorf("one too many: %v", err)
		}
		if h.names() != "b c d" {
			t.Errorf("the games are %s", h.names())
		}
	})
}
