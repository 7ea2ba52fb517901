package etcdstore

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"counting/server/etcdstore/etcdtest"
	"counting/server/store"
)

// BenchmarkAppend has one game with some numbers in flight, beside what etcd takes
// for one write with a comparison.
func BenchmarkAppend(b *testing.B) {
	for _, members := range []int{1, 3} {
		m := etcdtest.Start(b, members)
		name := fmt.Sprintf("%d_members/", members)
		b.Run(name+"raw", func(b *testing.B) {
			r := registerOf(m)
			defer r.close()
			now, _ := r.read(b.Context(), "raw")
			for i := range b.N {
				out, err := r.commit(b.Context(), []change{{key: "raw", expected: now.revision, value: []byte(strconv.Itoa(i))}})
				if err != nil || !out[0].done {
					b.Fatal(out, err)
				}
				now.revision = out[0].now.revision
			}
		})
		for _, inFlight := range []int64{1, 64} {
			b.Run(fmt.Sprintf("%sin_flight_%d", name, inFlight), func(b *testing.B) {
				s := open(b, registerOf(m), Options{Away: time.Minute})
				defer s.Close(context.Background())
				count, err := s.Open(b.Context(), "blue", true)
				if err != nil {
					b.Fatal(err)
				}
				keepInFlight(b, []store.Count{count}, inFlight, int64(b.N))
			})
		}
		b.Run(name+"1000_games", func(b *testing.B) {
			s := open(b, registerOf(m), Options{Away: time.Minute})
			defer s.Close(context.Background())
			var counts []store.Count
			for i := range 1000 {
				count, err := s.Open(b.Context(), fmt.Sprintf("game-%d", i), true)
				if err != nil {
					b.Fatal(err)
				}
				counts = append(counts, count)
			}
			before := s.Stats().Appends
			keepInFlight(b, counts, 1, int64(b.N+999)/1000)
			b.ReportMetric(float64(s.Stats().Appends-before)/b.Elapsed().Seconds(), "appends/s")
		})
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
	b.ReportMetric(float64(int64(len(counts))*n)/b.Elapsed().Seconds(), "numbers/s")
}
