package lobby

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A dropped game is closed although it has users; a call of Acquire meanwhile waits,
// and gets a new one.
func TestADroppedGameIsOpenedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newLobby(t, 1)
		first, release := h.acquire("blue")
		h.set(func() { h.close = func() { time.Sleep(time.Second) } })
		first.drop()
		first.drop()
		began := time.Now()
		second, leaveSecond := h.acquire("blue")
		if first == second || time.Since(began) != time.Second {
			t.Errorf("after %v it is the same: %v", time.Since(began), first == second)
		}
		h.expect("blue blue", "blue")
		release() // is about the first
		first.drop()
		time.Sleep(2 * idleTimeout)
		h.expect("", "")
		leaveSecond()
		time.Sleep(2 * idleTimeout)
		h.expect("", "blue")
	})
}

// A game may fail before Open has returned.
func TestAGameThatIsDroppedWhileItIsOpened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		closed := 0
		l := New(Options[int]{
			Open:        func(_ context.Context, _ string, _ bool, drop func()) (int, error) { drop(); return 7, nil },
			Close:       func(string, int) { closed++ },
			IdleTimeout: idleTimeout,
		})
		if game, _, err := l.Acquire(t.Context(), "blue", true); game != 7 || err != nil {
			t.Errorf("%v, %v", game, err)
		}
		synctest.Wait()
		if closed != 1 || len(l.games) != 0 {
			t.Errorf("it was closed %d times; %d games are left", closed, len(l.games))
		}
	})
}

func TestAClosedLobbyClosesAndOpensNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newLobby(t, 0)
		game, release := h.acquire("a")
		_, leaveB := h.acquire("b")
		leaveB()
		h.set(func() { h.open = func(context.Context) error { time.Sleep(time.Second); return nil } })
		go h.Acquire(t.Context(), "c", true)
		synctest.Wait()
		if games := h.Close(); len(games) != 2 {
			t.Errorf("%d games were open", len(games))
		}
		if _, _, err := h.Acquire(t.Context(), "a", true); err != ErrClosed {
			t.Errorf("a closed lobby is entered: %v", err)
		}
		release()
		game.drop()
		time.Sleep(10 * idleTimeout)
		h.expect("a b c", "c") // it was opened after the lobby was closed
	})
}
