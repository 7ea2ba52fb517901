package room

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"counting/compat-tests/lockedbuffer"
	"counting/server/game"
	"counting/server/protocol"
)

var unexported = cmp.Exporter(func(reflect.Type) bool { return true })

// Lines that are written together are one notice, so that the metrics have the time that
// each write took.
func TestNoticesOfLines(t *testing.T) {
	t.Parallel()
	var q notices
	q.written(1, 2, nil, 2)
	q.written(3, 4, nil, 1)
	q.add(notice{event: dismissed{}})
	q.written(5, 6, []float64{41, 7}, 5) // in faithful mode
	want := []notice{{event: lines{1, 2, nil, 2}}, {event: lines{3, 4, nil, 1}}, {event: dismissed{}}, {event: lines{5, 6, []float64{41, 7}, 5}}}
	if diff := cmp.Diff(notices{queue: want}, q, unexported); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
}

// A full queue takes no more events. Lines are merged after it: without a bound in
// default mode, and up to maxNotices in faithful mode.
func TestNoticesAreBounded(t *testing.T) {
	t.Parallel()
	full := func() (q notices) {
		for range maxNotices {
			q.add(notice{event: dismissed{}})
		}
		return q
	}
	q := full()
	q.add(notice{event: dismissed{}})
	q.written(1, 2, nil, 3)
	q.written(3, 9, nil, 2)
	q.add(notice{event: storage{}})
	if len(q.queue) != maxNotices || !cmp.Equal(q.late, lines{1, 9, nil, 3}, unexported) || q.missed != 2 || q.total != 2 {
		t.Errorf("queued are %d, late %+v, missed %d of %d", len(q.queue), q.late, q.missed, q.total)
	}

	q = full()
	for n := range int64(maxNotices) {
		q.written(n+1, n+1, []float64{float64(n)}, 1)
	}
	if q.missed != 0 || len(q.late.numbers) != maxNotices {
		t.Errorf("late are %d numbers, missed %d", len(q.late.numbers), q.missed)
	}
	q.written(maxNotices+1, maxNotices+1, []float64{1}, 1)
	if q.missed != 1 || q.total != 1 || len(q.late.numbers) != maxNotices || q.late.to != maxNotices {
		t.Errorf("late are %d numbers up to line %d, missed %d of %d", len(q.late.numbers), q.late.to, q.missed, q.total)
	}
}

// A batch of lines is reported in parts of at most maxWritten.
func TestALongBatchIsReportedInParts(t *testing.T) {
	t.Parallel()
	for _, last := range []int64{1, maxWritten, maxWritten + 1, 3 * maxWritten} {
		o := new(fakeObserver)
		r := New(game.New(0), Options{Observers: []Observer{o}})
		r.notify(notice{event: lines{from: 1, to: last}}, time.Now())
		if int64(len(o.lines)) != last || o.lines[last-1] != float64(last) {
			t.Errorf("of %d lines %d are reported", last, len(o.lines))
		}
	}
}

// The log has a line for each event, with the session, its address and what else is
// known.
func TestTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(strings.Builder)
		r := New(game.New(0), Options{
			Count: new(fakeFile),
			Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}})),
		})
		send := func(id, clientID, number string) {
			r.Number(id, []string{fmt.Sprintf(`{"client_id":%q,"number":%s}`, clientID, number)}, false, "1")
		}
		for _, event := range []struct {
			do   func()
			want string
		}{
			{func() { r.Connect("A", "192.0.2.1", new(fakeSession)) }, `level=INFO msg="Client client1 connected and assigned." seat=client1 session=A address=192.0.2.1`},
			{func() { r.Connect("B", "192.0.2.2", new(fakeSession)) }, `level=INFO msg="Client client2 connected and assigned." seat=client2 session=B address=192.0.2.2`},
			{func() { r.Connect("C", "192.0.2.3", new(fakeSession)) }, `level=INFO msg="More than 2 clients attempted to connect, rejecting connection." session=C address=192.0.2.3`},
			{func() { send("A", "client1", "1") }, `level=INFO msg="Received one from client1" seat=client1 number=1 session=A address=192.0.2.1`},
			{func() { send("A", "client1", "1") }, `level=DEBUG msg="client1 repeated one" seat=client1 number=1 session=A address=192.0.2.1`},
			{func() { send("A", "client2", "2") }, `level=WARN msg="Refused a number: the session does not hold the seat client2" code=not_its_seat seat=client1 client_id=client2 number=2 session=A address=192.0.2.1`},
			{func() { send("A", "client1", "null") }, `level=WARN msg="Refused a number: number null is not a number" code=malformed seat=client1 session=A address=192.0.2.1`},
			{func() { send("C", "client1", "1") }, `level=WARN msg="Refused a number: the session has not joined the game" code=not_joined client_id=client1 number=1 session=C address=192.0.2.3`},
			{func() { r.Callbacks().OnHealth(errors.New("no space")) }, `level=ERROR msg="Cannot write the numbers file: no space"`},
			{func() { r.Callbacks().OnHealth(nil) }, `level=INFO msg="The numbers file can be written again."`},
			{func() { r.Disconnect("C"); r.Disconnect("A") }, `level=INFO msg="Client client1 disconnected." seat=client1 counted=1 session=A address=192.0.2.1
level=INFO msg="Waiting for another client to connect..."`},
			{func() { r.Connect("D", "192.0.2.1", new(fakeSession)) }, `level=INFO msg="Client client1 connected and assigned." seat=client1 session=D address=192.0.2.1`},
			{func() { r.Disconnect("D") }, `level=INFO msg="Client client1 disconnected." seat=client1 counted=0 session=D address=192.0.2.1
level=INFO msg="Waiting for another client to connect..."`},
		} {
			log.Reset()
			event.do()
			reported()
			if got := strings.TrimSpace(log.String()); got != event.want {
				t.Errorf("the log has\n%s\nwant\n%s", got, event.want)
			}
		}
	})
}

// Of a fast count the log has the first numbers of each second, and how many there were
// besides, also of the last second.
func TestTheLogOfAFastCountIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(lockedbuffer.Buffer)
		r := New(game.New(0), Options{Count: new(fakeFile), Log: slog.New(slog.NewTextHandler(log, nil))})
		r.Connect("A", "192.0.2.1", new(fakeSession))
		r.Connect("B", "192.0.2.2", new(fakeSession))
		next := int64(1)
		count := func(n int) {
			for range n {
				seat := protocol.SeatOf(next)
				id := map[protocol.Seat]string{protocol.Client1: "A", protocol.Client2: "B"}[seat]
				r.Number(id, []string{fmt.Sprintf(`{"client_id":%q,"number":%d}`, seat, next)}, false, "")
				r.Callbacks().OnCommit(next, 0)
				next++
				if next%1000 == 0 { // before the queue of notices is full
					reported()
				}
			}
		}
		logged := func(lines int, more string) {
			t.Helper()
			reported()
			var got string
			var numbers int
			for line := range strings.Lines(log.Take()) {
				if strings.Contains(line, " from client") {
					numbers++
				} else {
					_, line, _ = strings.Cut(line, "msg=")
					got += line
				}
			}
			if got = strings.TrimSpace(got); numbers != lines || got != more {
				t.Errorf("%d numbers have a line, and there is %q; want %d and %q", numbers, got, lines, more)
			}
		}
		reported()
		log.Take()

		count(maxNumberLines)
		logged(maxNumberLines, "")
		time.Sleep(400 * time.Millisecond)
		count(7)
		r.secondOver() // too early
		time.Sleep(500 * time.Millisecond)
		count(1)
		logged(0, "")
		time.Sleep(100 * time.Millisecond)
		logged(0, `"Received more numbers, without lines: 8" numbers=8`)
		count(3)
		logged(3, "")
		time.Sleep(time.Hour)
		logged(0, "")
		count(maxNumberLines) // and no more
		logged(maxNumberLines, "")
		time.Sleep(time.Hour)
		count(1)
		logged(1, "")
		time.Sleep(time.Hour)

		count(maxNumberLines + 2)
		r.Finish()
		logged(maxNumberLines, `"Received more numbers, without lines: 2" numbers=2`)
	})
}

// A queue that was full is not kept for the next notices.
func TestALongQueueIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := new(fakeObserver)
		r := New(game.New(0), Options{Count: new(fakeFile), Log: slog.New(slog.DiscardHandler), Observers: []Observer{o}})
		o.blocked.Lock()
		for range maxNotices {
			r.Callbacks().OnHealth(nil)
		}
		o.blocked.Unlock()
		for range 3 { // of two queues, which are exchanged
			reported()
			r.mu.Lock()
			if n := max(cap(r.notices.queue), cap(r.spare)); n > maxSpare {
				t.Errorf("a queue has room for %d notices", n)
			}
			r.mu.Unlock()
			r.Callbacks().OnHealth(nil)
		}
		reported()
	})
}

// Finish reports what has happened so far, and nothing that happens after that.
func TestFinishReportsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := new(fakeObserver)
		r := New(game.New(0), Options{Observers: []Observer{o}, Log: slog.New(slog.DiscardHandler), Count: new(fakeFile)})
		o.blocked.Lock()
		r.Connect("A", "a", new(fakeSession))
		r.Callbacks().OnCommit(3, time.Second)
		finished := r.Finish()
		select {
		case <-finished:
			t.Error("it has finished while an observer is blocked")
		default:
		}
		o.blocked.Unlock()
		<-finished
		if len(o.events) != 1 || len(o.lines) != 3 || o.missed != 0 || o.taken != nil {
			t.Errorf("reported are %v, %v, missed %d", o.events, o.lines, o.missed)
		}
		r.Callbacks().OnCommit(4, time.Second)
		reported()
		<-r.Finish()
		if len(o.lines) != 3 {
			t.Errorf("after that, %v are reported", o.lines[3:])
		}
	})
}

// A room in which nothing happens has no goroutine.
func TestAnIdleRoomHasNoGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		rooms := make([]*Room, 100)
		for i := range rooms {
			rooms[i] = New(game.New(0), Options{Log: slog.New(slog.DiscardHandler), Count: new(fakeFile)})
			rooms[i].Connect("A", "a", new(fakeSession))
		}
		reported()
		if n := runtime.NumGoroutine() - before; n > len(rooms)/2 {
			t.Errorf("%d rooms have %d goroutines", len(rooms), n)
		}
	})
}

// Of each second with more numbers than lines, the end is reported once.
func TestTheEndOfASecondIsReportedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l numberLog
		var over []time.Duration
		began := time.Now()
		for _, count := range []int{maxNumberLines, maxNumberLines + 1, 1, 3 * maxNumberLines} {
			for i := range count {
				if got := l.allow(time.Now(), func() { over = append(over, time.Since(began)) }); got != (i < maxNumberLines) {
					t.Fatalf("of %d numbers in a second, number %d is logged: %v", count, i+1, got)
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if want := []time.Duration{2 * time.Second, 4 * time.Second}; !slices.Equal(over, want) {
			t.Errorf("the ends are reported after %v, want %v", over, want)
		}
	})
}

// gate is an observer in whose calls of Storage the test decides what happens.
type gate struct {
	fakeObserver
	storage func(error)
}

func (g *gate) Storage(err error) { g.storage(err) }

// What happens while something is reported is reported after it, in order, however much
// that is: the queues that are used again are not mixed up.
func TestNoNoticeIsLostBetweenTheQueues(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const last = 3 * maxSpare
		o := new(gate)
		r := New(game.New(0), Options{Observers: []Observer{o}})
		added, reported := 0, 0
		add := func(n int) {
			for range min(n, last-added) {
				added++
				r.Callbacks().OnHealth(fmt.Errorf("%d", added))
			}
		}
		done := make(chan struct{})
		o.storage = func(err error) {
			if reported++; err == nil || err.Error() != fmt.Sprint(reported) {
				t.Errorf("reported is %v in place of %d", err, reported)
			}
			switch {
			case reported == 3:
				add(2 * maxSpare) // a queue that is not kept
			case reported <= 4 || reported > 3+2*maxSpare: // one at a time, and then one in the next queue
				add(1)
			}
			if reported == last {
				close(done)
			}
		}
		add(1)
		select {
		case <-done:
		case <-time.After(time.Hour):
			t.Fatal("not all is reported")
		}
		<-r.Finish()
	})
}

// Only one goroutine reports, also when something happens just as the room is finished.
func TestARoomIsFinishedOnce(t *testing.T) {
	t.Parallel()
	for range 2000 {
		r := New(game.New(0), Options{Count: new(fakeFile)})
		finished := r.Finish()
		r.Callbacks().OnHealth(nil)
		if again := r.Finish(); again != finished {
			t.Fatal("it is finished twice")
		}
		<-finished
	}
}
