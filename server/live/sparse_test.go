package live

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"counting/server/game"
	"counting/server/protocol"
)

// A sparse feed keeps no events while it has no readers, and readers miss no events.
func TestASparseFeed(t *testing.T) {
	t.Parallel()
	c := start(t, "", Options{Unbroken: true, Sparse: true})
	kept := func() int {
		c.Feed.mu.Lock()
		defer c.Feed.mu.Unlock()
		return len(c.Feed.ring.slots)
	}
	last := 0
	write := func(n int) {
		for range n {
			last++
			c.write(float64(last))
		}
	}
	expect := func(s *stream, from int) {
		t.Helper()
		for want := from; want <= last; {
			name, id, _ := s.next()
			if name != "line" {
				continue
			}
			if id != strconv.Itoa(want) {
				t.Fatalf("line %s came in place of %d", id, want)
			}
			want++
		}
	}
	for round := range 3 {
		write(10)
		if n := kept(); n != 0 {
			t.Errorf("round %d: %d events are kept for nobody", round, n)
		}
		s := c.open("?after=0", "")
		expect(s, 1)
		write(3)
		expect(s, last-2)
		// The reader may have read these from the file.
		waitFor(t, "events to be kept for the reader", func() bool { return kept() == sparseRingSize })
		write(2*sparseRingSize + 5)
		expect(s, last-2*sparseRingSize-4)
		s.cancel()
		waitFor(t, "the reader to be gone", func() bool { return kept() == 0 })
	}
	state := c.get()
	if state.Lines != int64(last) || state.Last == nil || state.Last.Line != int64(last) {
		t.Errorf("the state is %+v", state)
	}
}

// The readers of one game cannot use all of Limits.Readers.
func TestReadersOfOneGameAreLimited(t *testing.T) {
	t.Parallel()
	c := startWith(t, "", Options{Sparse: true}, HubOptions{Limits: Limits{Readers: 4, PerGame: 2}})
	var open []*http.Response
	get := func() int {
		response, err := http.Get(c.url + "/events")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, response)
		t.Cleanup(func() { response.Body.Close() })
		return response.StatusCode
	}
	if a, b := get(), get(); a != http.StatusOK || b != http.StatusOK {
		t.Errorf("two readers are answered %d, %d", a, b)
	}
	if status := get(); status != http.StatusServiceUnavailable {
		t.Errorf("a third is answered %d", status)
	}
	if text, _ := io.ReadAll(open[2].Body); !strings.Contains(string(text), "this game") {
		t.Errorf("it is answered %q", text)
	}
	open[0].Body.Close()
	waitFor(t, "one to be gone", func() bool { return c.Readers() == 1 })
	if status := get(); status != http.StatusOK {
		t.Errorf("the next is answered %d", status)
	}
}

// The summary has the same state of a game as the page.
func TestSummary(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, stop := run(t, Options{Game: "blue", Unbroken: true, Goal: 20})
		defer stop()
		expect := func(state GameState, cause Cause, seats ...string) {
			t.Helper()
			time.Sleep(time.Second)
			s := f.Summary()
			if s.Game != "blue" || s.State != state || s.Cause != cause || strings.Join(s.Seats, " ") != strings.Join(seats, " ") ||
				(s.Since == nil) != (state == Counting || state == Done) {
				t.Errorf("it is %+v, want %s %s", s, state, cause)
			}
		}
		expect(Idle, "")
		f.sit(protocol.Client1)
		expect(Idle, "", "client1")
		f.sit(protocol.Client2)
		f.countTo(10, time.Second)
		expect(Counting, "", "client1", "client2")
		f.Happened(game.Left{Seat: protocol.Client1})
		expect(InTrouble, CauseClient1, "client2")
		f.sit(protocol.Client1)
		expect(InTrouble, CauseClient1, "client1", "client2")
		f.countTo(11, time.Second)
		expect(Counting, "", "client1", "client2")
		f.Storage(syscall.ENOSPC)
		expect(InTrouble, CauseStorage, "client1", "client2")
		f.Storage(nil)
		f.countTo(12, time.Second)
		time.Sleep(time.Minute)
		expect(InTrouble, CauseStall, "client1", "client2")
		f.countTo(20, time.Second)
		f.Happened(game.Left{Seat: protocol.Client1})
		expect(Done, "", "client2")
	})
}
