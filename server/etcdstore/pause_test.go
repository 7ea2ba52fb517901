package etcdstore

import (
	"sync"
	"testing"
	"time"
)

// A pause ends, however its timer and the goroutine that waits are scheduled: a count
// whose pause did not end wrote nothing any more, and its clients waited for ever.
func TestAPauseEnds(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var running sync.WaitGroup
		for range 8 {
			running.Go(func() {
				c := newCount(&Store{}, "", gameValue{}, 1)
				for range 5000 {
					if err := c.pause(time.Microsecond); err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("a pause of 1 µs has not ended after a minute")
	}
}
