package freeport

import (
	"sync"
	"testing"
)

func TestNoPortIsReturnedTwice(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := make(map[string]bool)
	var running sync.WaitGroup
	for range 300 {
		running.Go(func() {
			port := New()
			mu.Lock()
			defer mu.Unlock()
			if seen[port] {
				t.Errorf("port %s was returned twice", port)
			}
			seen[port] = true
		})
	}
	running.Wait()
	if len(reserved) != len(seen) {
		t.Errorf("%d ports are reserved, %d were returned", len(reserved), len(seen))
	}
}
