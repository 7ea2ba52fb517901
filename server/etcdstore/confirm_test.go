package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"counting/server/store"
)

// lose has a server lose a game in which nothing is written, as one does that is
// paused.
func lose(t *testing.T, one, two *Store, a *client, game string) (old, taken *counting) {
	t.Helper()
	old = start(t, one, game)
	old.countTo(5)
	resume := make(chan struct{})
	a.setFault(func(context.Context, string) fault { <-resume; return fault{} })
	time.Sleep(leaseTime + time.Second)
	taken = start(t, two, game)
	taken.countTo(9)
	a.setFault(nil)
	close(resume)
	return old, taken
}

func TestAnIdleGameThatWasLostIsClosed(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memoryRegister, a, b *client) {
		one, two := open(t, a, Options{Name: "one", away: time.Minute}), open(t, b, Options{Name: "two"})
		defer one.Close(context.Background())
		defer two.Close(context.Background())
		old, taken := lose(t, one, two, a, "blue")
		began := time.Now()
		old.fails(ErrFenced)
		if took := time.Since(began); took > 2*confirmTime {
			t.Errorf("it is closed after %v", took)
		}
		if fenced := one.Stats().Fenced; fenced != 1 {
			t.Errorf("the stats have %d lost games", fenced)
		}
		elsewhere(t, one, "blue", two)
		taken.countTo(10)
	})
}

// Who asks meanwhile is not shown the count that was.
func TestAGameThatWasLostIsNotConfirmed(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memoryRegister, a, b *client) {
		one, two := open(t, a, Options{Name: "one", away: time.Minute}), open(t, b, Options{Name: "two"})
		defer one.Close(context.Background())
		defer two.Close(context.Background())
		old, taken := lose(t, one, two, a, "blue")
		if err := old.Confirm(t.Context()); !errors.Is(err, store.ErrNoOwner) || !errors.Is(err, ErrFenced) {
			t.Errorf("Confirm: %v", err)
		}
		old.fails(ErrFenced)
		if err := old.Confirm(t.Context()); !errors.Is(err, store.ErrNoOwner) {
			t.Errorf("Confirm of what has ended: %v", err)
		}
		if err := taken.Confirm(t.Context()); err != nil {
			t.Errorf("Confirm at the owner: %v", err)
		}
	})
}

// While etcd does not answer, nothing is confirmed; then the game goes on.
func TestConfirmWaitsForEtcd(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memoryRegister, a, _ *client) {
		s := open(t, a, Options{away: time.Minute})
		defer s.Close(context.Background())
		c := start(t, s, "blue")
		c.countTo(2)
		a.setFault(hang)
		if err := c.Confirm(t.Context()); !errors.Is(err, store.ErrNoOwner) {
			t.Errorf("Confirm: %v", err)
		}
		a.setFault(nil)
		if err := c.Confirm(t.Context()); err != nil {
			t.Errorf("Confirm: %v", err)
		}
		c.countTo(3)
	})
}

// Those who ask at the same time share requests, and each of their requests begins
// after they have asked.
func TestConfirmationsAreShared(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memoryRegister, a, _ *client) {
		s := open(t, a, Options{})
		defer s.Close(context.Background())
		c := start(t, s, "blue")
		c.countTo(2)
		var reads atomic.Int64
		a.setFault(func(_ context.Context, request string) fault {
			if request == "read" {
				reads.Add(1)
				time.Sleep(10 * time.Millisecond)
			}
			return fault{}
		})
		const callers = 100
		var all errgroup.Group
		for i := range callers {
			all.Go(func() error {
				time.Sleep(time.Duration(i%2) * time.Millisecond) // half of them while etcd is asked for the others
				return c.Confirm(context.Background())
			})
		}
		if err := all.Wait(); err != nil {
			t.Error(err)
		}
		if n := reads.Load(); n < 2 || n > 3 {
			t.Errorf("%d callers took %d requests", callers, n)
		}
	})
}

// What is idle is looked at together; what is written is not.
func TestManyGamesAreConfirmedTogether(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memoryRegister, a, _ *client) {
		s := open(t, a, Options{})
		defer s.Close(context.Background())
		for i := range 250 {
			start(t, s, fmt.Sprintf("game-%d", i)).countTo(1)
		}
		var requests atomic.Int64
		a.setFault(func(_ context.Context, request string) fault {
			if request == "read all" {
				requests.Add(1)
			}
			return fault{}
		})
		time.Sleep(10*confirmTime + confirmTime/2)
		if n := requests.Load(); n < 27 || n > 33 {
			t.Errorf("250 games took %d requests in 10 s", n)
		}
	})
}

// A request that etcd does not answer in time, or with an error, is made again before
// Open gives up.
func TestOpenTriesAgain(t *testing.T) {
	for name, wrong := range map[string]func(context.Context, string) fault{"an_error": cut, "silence": hang} {
		for _, which := range []string{"read", "list", "commit"} {
			t.Run(which+"_meets_"+name, func(t *testing.T) {
				inBubble(t, func(t *testing.T, m *memoryRegister, a, b *client) {
					one, two := open(t, a, Options{Name: "one", MaxGames: 20}), open(t, b, Options{Name: "two"})
					defer one.Close(context.Background())
					defer two.Close(context.Background())
					start(t, two, "red").countTo(3)
					for _, game := range []string{"blue", "red"} {
						for nth := 1; nth <= 2; nth++ {
							n := 0
							a.setFault(func(ctx context.Context, request string) fault {
								if request != which {
									return fault{}
								}
								if n++; n == nth {
									return wrong(ctx, request)
								}
								return fault{}
							})
							if game == "red" {
								elsewhere(t, one, game, two)
								time.Sleep(2 * rememberTime)
								continue
							}
							c := start(t, one, game)
							c.Close(t.Context())
						}
					}
				})
			})
		}
	}
}

// If etcd answers reads, but not writes, that is reported as a fault.
func TestEtcdAnswersOnlyReads(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memoryRegister, a, _ *client) {
		s := open(t, a, Options{})
		defer s.Close(context.Background())
		c := start(t, s, store.Default)
		c.countTo(2)
		a.setFault(func(ctx context.Context, request string) fault {
			if request == "commit" {
				return hang(ctx, request)
			}
			return fault{}
		})
		began := time.Now()
		c.Append(3)
		if err := <-c.states; !errors.Is(err, ErrAway) || s.Ready() == nil {
			t.Errorf("the state is %v; ready: %v", err, s.Ready())
		}
		if took := time.Since(began); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("it is reported after %v", took)
		}
		time.Sleep(time.Minute)
		a.setFault(nil)
		if n := <-c.written; n != 3 {
			t.Errorf("written is %d", n)
		}
		synctest.Wait()
		if err := <-c.states; err != nil || s.Ready() != nil {
			t.Errorf("the state is %v; ready: %v", err, s.Ready())
		}
	})
}

// A game that is being opened when the store is closed is given up, too.
func TestAStoreIsClosedWhileAGameIsOpened(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memoryRegister, a, b *client) {
		s := open(t, a, Options{Name: "one"})
		commits := make(chan struct{})
		a.setFault(func(_ context.Context, request string) fault {
			if request == "commit" {
				commits <- struct{}{}
				time.Sleep(100 * time.Millisecond)
			}
			return fault{}
		})
		opened := make(chan error)
		go func() {
			_, err := s.Open(context.Background(), "blue", true)
			opened <- err
		}()
		<-commits
		go func() {
			for range commits {
			}
		}()
		err := s.Close(t.Context())
		a.setFault(cut) // the process has ended
		time.Sleep(time.Second)
		if now, readErr := b.read(t.Context(), s.gameKey("blue")); err != nil || readErr != nil || now.revision != 0 {
			t.Errorf("the store is closed, %v, and etcd has %v, %v", err, now, readErr)
		}
		if err := <-opened; !errors.Is(err, errClosed) {
			t.Errorf("opened: %v", err)
		}
		close(commits)
	})
}
