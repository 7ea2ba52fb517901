package etcdstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"counting/compat-tests/results"
	"counting/server/etcdstore/etcdtest"
	"counting/server/store"
)

// BenchmarkAppend has one game with some numbers in flight, and 1,000 games with one in
// flight each, beside what etcd takes for one write with a comparison.
func BenchmarkAppend(b *testing.B) {
	table := results.New(b, "etcd", "members of etcd", "what", "numbers/s", "writes of games/s", "numbers/s in ratio to single writes")
	for _, members := range []int{1, 3} {
		m := etcdtest.Start(b, members)
		raw := 0.0
		// measure runs a benchmark, which returns how many numbers and writes it made.
		measure := func(what string, run func(b *testing.B) (numbers, writes int64)) {
			var numbers, writes float64 // of the last run, which is the longest
			b.Run(fmt.Sprintf("%d_members/%s", members, strings.ReplaceAll(what, " ", "_")), func(b *testing.B) {
				n, w := run(b)
				numbers, writes = float64(n)/b.Elapsed().Seconds(), float64(w)/b.Elapsed().Seconds()
				b.ReportMetric(numbers, "numbers/s")
				b.ReportMetric(writes, "writes/s")
			})
			if raw == 0 {
				raw = numbers
			}
			if numbers > 0 { // the benchmark was selected
				table.Row(members, what, int(numbers), int(writes), fmt.Sprintf("%.2f", numbers/raw))
			}
		}
		measure("single writes by etcd's client", func(b *testing.B) (numbers, writes int64) {
			r := registerOf(m)
			defer r.close()
			now, _ := r.read(b.Context(), "raw")
			b.ResetTimer()
			for i := range b.N {
				out, err := r.commit(b.Context(), []change{{key: "raw", expected: now.revision, value: []byte(strconv.Itoa(i))}})
				if err != nil || !out[0].done {
					b.Fatal(out, err)
				}
				now.revision = out[0].now.revision
			}
			return int64(b.N), int64(b.N)
		})
		for _, load := range []struct{ games, inFlight int64 }{{1, 1}, {1, 64}, {1000, 1}} {
			measure(fmt.Sprintf("games: %d, numbers in flight in each: %d", load.games, load.inFlight), func(b *testing.B) (numbers, writes int64) {
				s := open(b, registerOf(m), Options{away: time.Minute})
				defer s.Close(context.Background())
				var counts []store.Count
				for i := range load.games {
					count, err := s.Open(b.Context(), fmt.Sprintf("game-%d", i), true)
					if err != nil {
						b.Fatal(err)
					}
					counts = append(counts, count)
				}
				before := s.Stats().Appends
				numbers = (int64(b.N) + load.games - 1) / load.games * load.games
				keepInFlight(b, counts, load.inFlight, numbers/load.games)
				return numbers, s.Stats().Appends - before
			})
		}
	}
}

// keepInFlight appends n numbers to each count, some of them at a time.
func keepInFlight(b *testing.B, counts []store.Count, inFlight, n int64) {
	b.ResetTimer()
	var running sync.WaitGroup
	for _, c := range counts {
		running.Go(func() {
			first := c.Last()
			last := first + n
			all := make(chan struct{})
			c.Append(min(last, first+inFlight))
			running.Go(func() {
				if err := c.Run(store.Callbacks{OnCommit: func(upTo int64, _ time.Duration) {
					if next := min(last, upTo+inFlight); next > c.Last() {
						c.Append(next)
					}
					if upTo == last {
						close(all)
					}
				}}); err != nil {
					b.Error(err)
				}
			})
			<-all
			c.Close(context.Background())
		})
	}
	running.Wait()
	b.StopTimer()
}
