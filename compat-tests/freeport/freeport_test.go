package freeport

import (
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
)

func TestNoPortIsReturnedTwice(t *testing.T) {
	var mu sync.Mutex
	seen, before := make(map[string]bool), len(reserved)
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
	if n := len(reserved) - before; n != len(seen) {
		t.Errorf("%d ports are reserved, %d were returned", n, len(seen))
	}
}

// Nothing listens on a port that is returned. A child process had a copy of a listener
// until it executed its program.
func TestNothingListensWhileOtherProcessesAreStarted(t *testing.T) {
	this, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var starting sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		starting.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = exec.Command(this, "-test.run=^$").Run()
				}
			}
		})
	}
	for range 1000 {
		port := New()
		if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			conn.Close()
			t.Errorf("something listens on port %s", port)
		}
	}
	close(stop)
	starting.Wait()
}
