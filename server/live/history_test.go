package live

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"counting/server/game"
	"counting/server/protocol"
)

// run returns a running feed, in a synctest bubble; stop ends it like a server that is
// killed.
func run(t *testing.T, o Options) (f *Feed, stop func()) {
	t.Helper()
	h := NewHub(HubOptions{})
	f, err := h.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	go h.Run()
	synctest.Wait()
	return f, func() { h.Close(t.Context()) }
}

func (f *Feed) get() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.snapshot()
}

// events returns how many events were published so far.
func (f *Feed) events() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ring.next
}

func (f *Feed) sit(seats ...protocol.Seat) {
	for _, seat := range seats {
		f.Happened(game.Seated{Seat: seat})
	}
}

// countTo adds the numbers up to last, one per interval.
func (f *Feed) countTo(last int64, interval time.Duration) {
	for n := f.get().Count + 1; n <= last; n++ {
		time.Sleep(interval)
		f.Written([]float64{float64(n)}, 0)
	}
}

// Repeated activities are counted in one activity and displace nothing else, except the
// first few, which are listed separately.
func TestWhatRepeatsIsMerged(t *testing.T) {
	tests := map[string]func(f *Feed){
		"a client that finds both seats taken": func(f *Feed) { f.Happened(game.Full{}) },
		"a client that takes a seat and leaves": func(f *Feed) {
			f.Happened(game.Seated{Seat: protocol.Client2})
			f.Happened(game.Left{Seat: protocol.Client2})
		},
		"a number that is refused":   func(f *Feed) { f.Happened(game.Refused{Code: game.WrongParity}) },
		"a disk that is full or not": func(f *Feed) { f.Storage(syscall.ENOSPC); f.Storage(nil) },
	}
	for name, once := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, stop := run(t, Options{})
				defer stop()
				f.sit(protocol.Client1)
				const times = 1000
				for range times {
					once(f)
					time.Sleep(60 * time.Millisecond)
				}
				state := f.get()
				all := make(map[Type]int64)
				for _, a := range state.Activities {
					all[a.Type] += max(a.Times, 1)
				}
				if all[ServerStarted] != 1 || state.Activities[0].Type != ServerStarted {
					t.Errorf("the start of the server is gone: %+v", state.Activities)
				}
				if n := len(state.Activities); n > 20 {
					t.Errorf("there are %d activities", n)
				}
				for what, n := range all {
					if n != 1 && n != times && n != times+1 {
						t.Errorf("%s is said to have happened %d times of %d", what, n, times)
					}
				}
			})
		})
	}
}

// With many equal activities, readers are sent one event a second, not one for each.
func TestWhatRepeatsCostsReadersLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, stop := run(t, Options{})
		defer stop()
		before := f.events()
		const seconds = 10
		for range seconds * 1000 {
			f.Happened(game.Full{})
			time.Sleep(time.Millisecond)
		}
		if events := f.events() - before; events > 10*seconds {
			t.Errorf("%d activities in %d s made %d events", seconds*1000, seconds, events)
		}
	})
}

// The next server restores the activities of the previous one, when it ran, and how long
// the count was interrupted.
func TestTheHistoryOutlivesTheServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), HistoryName)
	synctest.Test(t, func(t *testing.T) {
		f, stop := run(t, Options{History: path})
		f.sit(protocol.Client1, protocol.Client2)
		f.countTo(10, time.Second)
		f.Happened(game.Left{Seat: protocol.Client1})
		time.Sleep(5 * time.Second)
		f.sit(protocol.Client1)
		f.countTo(20, time.Second)
		before := f.get()
		stop()
		time.Sleep(7 * time.Second)

		f, stop = run(t, Options{History: path, Count: 20, Unbroken: true, LastAt: before.Last.At.Add(0)})
		defer stop()
		state := f.get()
		if n := len(before.Activities); len(state.Activities) != n+1 || !cmp.Equal(state.Activities[:n], before.Activities) {
			t.Errorf("the activities: before -, now +\n%s", cmp.Diff(before.Activities, state.Activities))
		}
		if state.Activities[len(state.Activities)-1].ID <= before.Activities[len(before.Activities)-1].ID {
			t.Error("the IDs start again")
		}
		if state.Interruption == nil || state.Interruption.Cause != CauseServer {
			t.Errorf("the interruption is %+v", state.Interruption)
		}
		f.sit(protocol.Client1, protocol.Client2)
		f.countTo(21, time.Second)
		state = f.get()
		if got := state.Tally; got.Interruptions != 2 || got.Longest < 8 || got.Longest > 9 {
			t.Errorf("the tally is %+v", got)
		}
		if got := state.Seats; got[0].Times != 3 || got[1].Times != 2 {
			t.Errorf("the seats were taken %d and %d times", got[0].Times, got[1].Times)
		}
		server := state.Lanes[0].Spans
		if len(server) != 2 || server[0].Until == nil || server[1].From.Sub(*server[0].Until) < 7*time.Second || server[1].Until != nil {
			t.Errorf("the server's lane is %+v", server)
		}
	})
}

// A history that is corrupt, missing, unreadable or of another file is ignored, and is
// replaced by a valid one.
func TestABadHistoryStopsNoStart(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(path string) error{
		"missing": func(string) error { return nil },
		"empty":   func(path string) error { return os.WriteFile(path, nil, 0o666) },
		"torn":    func(path string) error { return os.WriteFile(path, []byte(`{"lines":1,"happenings":[{"id"`), 0o666) },
		"zeroes":  func(path string) error { return os.WriteFile(path, make([]byte, 4096), 0o666) },
		"too_long": func(path string) error {
			return os.WriteFile(path, []byte(`{"lines":0,"happenings":["`+strings.Repeat("x", 2*maxHistory)), 0o666)
		},
		"too_many": func(path string) error {
			return os.WriteFile(path, []byte(`{"happenings":[`+strings.Repeat(`{},`, 9999)+`{}]}`), 0o666)
		},
		"null": func(path string) error { return os.WriteFile(path, []byte("null"), 0o666) },
		"odd_lanes": func(path string) error {
			return os.WriteFile(path, []byte(`{"lanes":[{"name":"server","spans":null},{},{"name":"x"}]}`), 0o666)
		},
		"future": func(path string) error {
			return os.WriteFile(path, []byte(`{"lines":99,"tally":{"interruptions":7}}`), 0o666)
		},
		"directory":       func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o777) },
		"fifo":            mkfifo,
		"unreadable_link": func(path string) error { return os.Symlink("/nowhere/at/all", path) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), HistoryName)
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			f, err := NewHub(HubOptions{}).Open(Options{History: path, Count: 3, Unbroken: true})
			if err != nil {
				t.Fatal(err)
			}
			if state := f.get(); state.Tally.Interruptions != 0 || state.Interruption == nil || len(state.Activities) > keptActivities {
				t.Errorf("the state is %+v", state)
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			f.Close(ctx)
			if _, err := readHistory(path, 3); err != nil && name != "directory" {
				t.Errorf("it was not replaced: %v", err)
			}
		})
	}
}

// The spans of a lane are bounded in time and in number.
func TestLanesAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var l Lane
	for range 10 * keptSpans {
		l.begin(now)
		l.end(now.Add(time.Second))
		now = now.Add(2 * time.Second)
	}
	if n := len(l.Spans); n > keptSpans {
		t.Errorf("there are %d spans", n)
	}
	if oldest := l.Spans[0]; now.Sub(*oldest.Until) > laneTime+time.Minute {
		t.Errorf("the oldest is %v ago", now.Sub(*oldest.Until))
	}
	var flicker Lane
	for range 100 {
		flicker.begin(now)
		flicker.end(now.Add(time.Millisecond))
		now = now.Add(2 * time.Millisecond)
	}
	if n := len(flicker.Spans); n != 1 {
		t.Errorf("an absence of a millisecond makes %d spans", n)
	}
}
