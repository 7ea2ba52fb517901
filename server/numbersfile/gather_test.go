package numbersfile

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// writes are what a queue's writes were, of numbers that clients keep in flight.
type writes struct {
	sizes  []int64
	waited []time.Duration // how long the oldest number was queued while nothing was written
}

// writing counts to last with some numbers in flight: the next number follows reply after an
// ack. Each write takes took.
func writing(inFlight int, last int64, reply, took time.Duration) writes {
	var (
		w     writes
		q     queue
		mu    sync.Mutex
		next  int64
		ended time.Time // the last write
		done  = make(chan struct{})
	)
	count := func() {
		mu.Lock()
		defer mu.Unlock()
		if next++; next <= last {
			q.addUpTo(next)
		}
	}
	written := int64(0)
	q.start(func() {
		for {
			_, upTo, since, _ := q.take(func() *[]byte { return new([]byte) })
			if upTo == 0 {
				return
			}
			if since.Before(ended) {
				since = ended
			}
			w.sizes = append(w.sizes, upTo-written)
			w.waited = append(w.waited, time.Since(since))
			time.Sleep(took)
			q.wrote(took)
			ended = time.Now()
			for ; written < upTo; written++ {
				time.AfterFunc(reply, count)
			}
			if written == last {
				close(done)
			}
		}
	})
	for range inFlight {
		count()
	}
	<-done
	synctest.Wait()
	return w
}

const testWrite = 200 * time.Microsecond

// With two numbers in flight, each was written alone, and waited for the other's write.
// With many, every second write had one of them.
func TestNumbersInFlightAreWrittenTogether(t *testing.T) {
	t.Parallel()
	for _, inFlight := range []int{2, 3, 128} {
		synctest.Test(t, func(t *testing.T) {
			w := writing(inFlight, 1000*int64(inFlight), testWrite/4, testWrite)
			if few := slices.DeleteFunc(slices.Clone(w.sizes), func(n int64) bool { return n == int64(inFlight) }); len(few) > 2 {
				t.Errorf("with %d numbers in flight, %d of %d writes had fewer", inFlight, len(few), len(w.sizes))
			}
		})
	}
}

func TestASingleNumberDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if w := writing(1, 1000, testWrite, testWrite); slices.Max(w.waited) > 0 {
			t.Errorf("one waited %v", slices.Max(w.waited))
		}
	})
}

// The numbers of clients that do not reply soon wait now and then, and not for long.
func TestNumbersDoNotWaitForLong(t *testing.T) {
	t.Parallel()
	for _, took := range []time.Duration{testWrite, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := writing(4, 2000, 10*took, took)
			waited := slices.DeleteFunc(slices.Clone(w.waited), func(d time.Duration) bool { return d == 0 })
			if len(waited) == 0 || len(waited) > 10 || slices.Max(waited) > min(took*3/2, gatherTime) {
				t.Errorf("if a write takes %v, %d of %d waited: %v", took, len(waited), len(w.sizes), waited)
			}
		})
	}
}

// Waits that time out become rare, also those that end before their timer has fired: on
// Linux that may be a millisecond late.
func TestHowOftenWaitsTimeOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g gathering
		// writes returns how many of n writes wait. The number that each waits for comes
		// after that time.
		writes := func(n int, after time.Duration) (waits int) {
			for range n {
				g.wrote(1, 1, testWrite)
				if !g.wait(1, func() {}) {
					continue
				}
				waits++
				time.Sleep(after)
				if g.wait(2, func() {}) {
					t.Fatal("the wait does not end")
				}
			}
			return waits
		}
		if got := writes(10_000, 4*testWrite); got < 10 || got > 20 {
			t.Errorf("%d of 10,000 writes waited, until a timeout", got)
		}
		writes(maxGatherPause, 0) // the rest of a pause
		if got := writes(1000, testWrite); got != 1000 {
			t.Errorf("%d of 1,000 writes waited, none of them until a timeout", got)
		}
		if got := writes(gatherPause+2, 4*testWrite); got != 2 {
			t.Errorf("after that %d of %d writes waited, until a timeout", got, gatherPause+2)
		}
		// With a timeout now and then, most writes wait; with one after each success, few.
		waits := 0
		for range 100 {
			waits += writes(20, testWrite) + writes(1, 4*testWrite)
		}
		if waits < 500 {
			t.Errorf("with a timeout in 21 waits, %d of 2,100 writes waited", waits)
		}
		waits = 0
		for range 10_000 {
			waits += writes(1, testWrite+time.Duration(waits%2)*4*testWrite)
		}
		if waits > 50 {
			t.Errorf("if every second wait times out, %d of 10,000 writes wait", waits)
		}
	})
}

// A write that cannot become larger does not wait.
func TestAFullWriteDoesNotWait(t *testing.T) {
	t.Parallel()
	var g gathering
	g.wrote(batch, 2*batch, time.Hour)
	if g.wait(batch, func() {}) {
		t.Error("it waits")
	}
}

// While other files are synced, a write has to wait for them, and gathers more that way.
func TestWritesOfManyFilesDoNotWait(t *testing.T) {
	t.Parallel()
	f := mustOpen(t, t.TempDir(), Options{})
	expected := func() int64 {
		f.queue.mu.Lock()
		defer f.queue.mu.Unlock()
		return f.queue.gather.expected
	}
	r := start(f)
	r.Append(2)
	r.written(t, 2)
	if n := expected(); n != 2 {
		t.Errorf("after a write of 2 numbers, the next one waits for %d", n)
	}
	f.shared.syncs <- struct{}{}
	r.Append(5)
	r.written(t, 5)
	if n := expected(); n != 0 {
		t.Errorf("while another file is synced, a write waits for %d numbers", n)
	}
	<-f.shared.syncs
}

func TestClosingEndsTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := mustOpen(t, t.TempDir(), Options{})
		f.queue.gather = gathering{expected: 2, until: time.Now().Add(time.Hour)}
		r := start(f)
		r.Append(1)
		synctest.Wait()
		if len(r.reports) > 0 {
			t.Error("it was written before the other number came")
		}
		began := time.Now()
		if err := r.Close(t.Context()); err != nil || time.Since(began) > 0 {
			t.Errorf("closing took %v: %v", time.Since(began), err)
		}
		r.written(t, 1)
	})
}
