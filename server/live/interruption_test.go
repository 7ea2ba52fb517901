package live

import (
	"encoding/json"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"counting/server/game"
	"counting/server/protocol"
)

// A snapshot does not change afterwards: it is encoded without the lock.
func TestSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, stop := run(t, Options{})
		defer stop()
		f.sit(protocol.Client1, protocol.Client2)
		f.countTo(20, 500*time.Millisecond)
		var snapshots []State
		var texts []string
		for _, event := range []func(){
			func() {},
			func() { f.Happened(game.Left{Seat: protocol.Client1}) },
			func() { time.Sleep(70 * time.Millisecond); f.Written([]float64{21}, 0) },
			func() { f.Happened(game.Left{Seat: protocol.Client2}) },
			func() { time.Sleep(12 * time.Second) },
			func() { f.sit(protocol.Client1, protocol.Client2) },
			func() { f.Written([]float64{22, 23}, time.Second) },
			func() { f.Storage(syscall.ENOSPC) },
			func() { time.Sleep(8 * time.Second) },
			func() { f.Storage(nil) },
			func() { f.Missed(3, protocol.Seats[:1]) },
			func() { f.Written([]float64{24}, 0) },
		} {
			event()
			s := f.get()
			text, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			snapshots, texts = append(snapshots, s), append(texts, string(text))
		}
		for i, s := range snapshots {
			if text, err := json.Marshal(s); err != nil || string(text) != texts[i] {
				t.Errorf("snapshot %d was\n%s\nand is, %v,\n%s", i, texts[i], err, text)
			}
		}
	})
}

// Each cause results in one interruption, from the line before it to the line after it.
func TestInterruptions(t *testing.T) {
	client1, client2 := protocol.Client1, protocol.Client2
	tests := []struct {
		name      string
		interrupt func(f *Feed)
		want      []Cause
		seconds   float64 // of the last, at least; at most a second more
	}{
		{"a client leaves and comes back", func(f *Feed) {
			f.Happened(game.Left{Seat: client1})
			time.Sleep(12 * time.Second)
			f.sit(client1)
		}, []Cause{CauseClient1}, 12},
		{"a client leaves while a number of the other one is on its way", func(f *Feed) {
			f.Happened(game.Left{Seat: client1})
			f.Written([]float64{21}, 0)
			time.Sleep(12 * time.Second)
			f.sit(client1)
		}, []Cause{CauseClient1}, 12},
		{"both leave, one after the other", func(f *Feed) {
			f.Happened(game.Left{Seat: client2})
			f.Happened(game.Left{Seat: client1})
			time.Sleep(3 * time.Second)
			f.sit(client1)
			f.sit(client2)
		}, []Cause{CauseClient2}, 3},
		{"the disk is full", func(f *Feed) {
			f.Storage(syscall.ENOSPC)
			time.Sleep(8 * time.Second)
			f.Storage(nil)
		}, []Cause{CauseStorage}, 8},
		{"a client hangs", func(f *Feed) { time.Sleep(30 * time.Second) }, []Cause{CauseStall}, 30},
		{"a pause that is not long", func(f *Feed) { time.Sleep(4 * time.Second) }, nil, 0},
		{"a client comes and goes without a number", func(f *Feed) {
			for range 5 {
				f.Happened(game.Left{Seat: client2})
				time.Sleep(time.Second)
				f.sit(client2)
				time.Sleep(time.Second)
			}
		}, []Cause{CauseClient2}, 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var reported []Cause
				f, stop := run(t, Options{Interrupted: func(i Interruption) { reported = append(reported, i.Cause) }})
				defer stop()
				f.sit(client1, client2)
				f.countTo(20, 500*time.Millisecond)
				tt.interrupt(f)
				if open := f.get().Interruption; (open == nil) != (tt.want == nil) {
					t.Errorf("before the next line the interruption is %+v", open)
				}
				next := f.get().Lines + 1
				f.countTo(40, 500*time.Millisecond)
				state := f.get()
				var got []Cause
				for _, i := range state.Interruptions {
					got = append(got, i.Cause)
				}
				if !slices.Equal(got, tt.want) || !slices.Equal(reported, tt.want) {
					t.Fatalf("the interruptions are %v, reported %v, want %v", got, reported, tt.want)
				}
				if state.Interruption != nil || state.Tally.Interruptions != int64(len(tt.want)) {
					t.Errorf("the state is %+v", state.Status)
				}
				if len(got) > 0 {
					last := state.Interruptions[len(got)-1]
					if last.Line != next || last.Seconds < tt.seconds || last.Seconds > tt.seconds+1 || state.Tally.Longest != last.Seconds {
						t.Errorf("the interruption is %+v, the tally %+v", last, state.Tally)
					}
				}
			})
		})
	}
}

// A slow count with a steady pace is not interrupted. Clients that both start with
// start_game cause a short gap after each long one.
func TestThePaceIsLearned(t *testing.T) {
	for _, interval := range []time.Duration{10 * time.Millisecond, time.Second, 12 * time.Second, 50 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f, stop := run(t, Options{})
			defer stop()
			f.sit(protocol.Client1, protocol.Client2)
			for range 30 {
				f.countTo(f.get().Count+2, time.Millisecond)
				time.Sleep(interval)
				if open := f.get().Interruption; open != nil {
					t.Fatalf("at a number each %v the count is interrupted: %+v", interval, open)
				}
			}
			time.Sleep(max(minStall, stallFactor*interval) + time.Second)
			if open := f.get().Interruption; open == nil || open.Cause != CauseStall {
				t.Errorf("at a number each %v a stall is %+v", interval, open)
			}
		})
	}
}

// A count that has reached its goal is not interrupted.
func TestNothingInterruptsACountThatIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, stop := run(t, Options{Goal: 20})
		defer stop()
		f.sit(protocol.Client1, protocol.Client2)
		f.countTo(20, time.Second)
		time.Sleep(time.Hour)
		f.Happened(game.Left{Seat: protocol.Client1})
		time.Sleep(time.Hour)
		if state := f.get(); state.Interruption != nil || len(state.Interruptions) > 0 {
			t.Errorf("the state is %+v", state)
		}
	})
}

// After activities were dropped the seats are those of Missed.
func TestMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, stop := run(t, Options{})
		defer stop()
		f.sit(protocol.Client1)
		f.countTo(3, time.Second)
		f.Missed(100, []protocol.Seat{protocol.Client2})
		state := f.get()
		if state.Seats[0].Taken || !state.Seats[1].Taken || state.Running || state.Lines != 3 {
			t.Errorf("the state is %+v", state.Status)
		}
	})
}
