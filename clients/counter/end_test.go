package counter

import (
	"net"
	"runtime"
	"testing"
	"time"

	"counting/clients/socketio"
	"counting/clients/socketio/socketiotest"
)

func TestClientEndsAtOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		script func(*socketiotest.Session, chan<- struct{})
	}{
		{"while it waits for CONNECT", func(s *socketiotest.Session, there chan<- struct{}) { s.Handshake(); there <- struct{}{}; s.Wait() }},
		{"while it waits for a seat", func(s *socketiotest.Session, there chan<- struct{}) { s.Open(); there <- struct{}{}; s.Wait() }},
		{"while it waits for the game", func(s *socketiotest.Session, there chan<- struct{}) {
			s.Open(assign("client1", 1))
			there <- struct{}{}
			s.Wait()
		}},
		{"while it waits for an ack", func(s *socketiotest.Session, there chan<- struct{}) {
			s.Open(assign("client1", 1), startGame)
			s.Number()
			there <- struct{}{}
			s.Wait()
		}},
		{"while it waits to try again", func(s *socketiotest.Session, there chan<- struct{}) {
			s.Send("no")
			s.Wait()
			there <- struct{}{}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			there := make(chan struct{}, 1)
			server := socketiotest.Serve(t, func(_ int, s *socketiotest.Session) { tt.script(s, there) })
			wait := eager()
			wait.retryMin, wait.retryMax = long, long
			r := begin(t, server, 9, wait)
			mustClose(t, there, "the client to get there")
			endsWithin(t, r, time.Second)
		})
	}
}

// With a server that accepts and sends nothing, a read blocks and does not depend on a
// context.
func TestClientEndsAtOnceWhileItDials(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	server, err := socketio.ParseURL("http://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	r := begin(t, server, 9, eager())
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	endsWithin(t, r, time.Second)
}

func endsWithin(t *testing.T, r *running, limit time.Duration) {
	t.Helper()
	began := time.Now()
	r.stop()
	r.mustEnd(t)
	if took := time.Since(began); took > limit {
		t.Errorf("it took %v", took)
	}
}

// Not parallel: it counts the goroutines of the process.
func TestReconnectsLeaveNothingBehind(t *testing.T) {
	const sessions = 100
	all := make(chan struct{})
	server := socketiotest.Serve(t, func(n int, s *socketiotest.Session) {
		if n == sessions {
			close(all)
			s.Wait()
			return
		}
		s.Open(assign("client1", 1+2*n), startGame)
		if n, ok := s.Number(); ok && n%4 == 1 {
			s.Ack(n)
		}
	})
	before := runtime.NumGoroutine()
	r := begin(t, server, 2000, eager())
	mustClose(t, all, "the last session")
	r.stop()
	r.mustEnd(t)
	for until := time.Now().Add(deadline); runtime.NumGoroutine() > before; {
		if time.Now().After(until) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines have become %d:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(time.Millisecond)
	}
}
