package counter

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"counting/clients/socketio/socketiotest"
	"counting/compat-tests/lockedbuffer"
)

// A client whose output nobody read kept its seat and did not count.
func TestAClientThatCannotPrintLeavesItsSeat(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	sessions := make(chan int, 10)
	left := make(chan struct{})
	server := socketiotest.Serve(t, func(n int, s *socketiotest.Session) {
		sessions <- n
		s.Open(assign("client1", 1), startGame)
		s.Wait()
		if n == 0 {
			close(left)
		}
	})
	wait := eager()
	wait.print = 50 * time.Millisecond
	client := begin(t, server, 10, wait, func(c *Config) { c.Out = w })
	mustClose(t, left, "the client to leave its seat")
	if n := <-sessions; n != 0 {
		t.Fatalf("session %d came first", n)
	}
	// It does not reconnect before its output is read.
	select {
	case n := <-sessions:
		t.Errorf("it came back, to session %d", n)
	case <-time.After(4 * wait.print):
	}
	go io.Copy(client.out, r)
	select {
	case <-sessions:
	case <-time.After(deadline):
		t.Error("it did not come back once somebody read")
	}
	client.stop()
	mustClose(t, client.ended, "the client to end")
	const want = "Error: nobody has read this output for 50ms; the seat is left to another client until it is read"
	if text := strings.Join(linesOf(client.out), "\n"); !strings.Contains(text, want) {
		t.Errorf("it printed\n%s", text)
	}
	r.Close()
}

// After a signal, a client whose output nobody read exited only at the time limit.
func TestAClientThatCannotPrintEndsAtASignal(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	opened := make(chan struct{})
	server := socketiotest.Serve(t, func(_ int, s *socketiotest.Session) {
		s.Open(assign("client1", 1), startGame)
		close(opened)
		s.Wait()
	})
	client := begin(t, server, 10, eager(), func(c *Config) { c.Out = w })
	mustClose(t, opened, "the session")
	client.stop()
	mustClose(t, client.ended, "the client to end")
	r.Close()
}

// A server that started and stopped the game repeatedly made a client print 60 MB within
// 5 s.
func TestWhatTheServerDoesIsPrintedAtARate(t *testing.T) {
	t.Parallel()
	const rounds = 5000
	server := socketiotest.Serve(t, func(_ int, s *socketiotest.Session) {
		s.Open(assign("client1", 1))
		for range rounds {
			s.Send(startGame, stopGame)
		}
		s.Send(startGame)
		for n, ok := s.Number(); ok; n, ok = s.Number() {
			s.Ack(n)
		}
	})
	client := begin(t, server, 5, eager())
	client.mustEnd(t)
	lines := linesOf(client.out)
	if len(lines) > maxLines+10 {
		t.Errorf("it printed %d lines", len(lines))
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{"client1 counting: one", "client1 counting: three", "client1 counting: five"} {
		if !strings.Contains(text, want) {
			t.Errorf("it did not print %q", want)
		}
	}
	if want := fmt.Sprintf("and %s more lines", thousands(2+2*rounds+1+1-maxLines)); !strings.Contains(text, want) {
		t.Errorf("it did not print %q, but\n%s", want, text[max(0, len(text)-300):])
	}
}

func TestPrinterBoundsWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		p := newPrinter(w)
		p.printNumber("first")
		synctest.Wait() // it is being written
		line := strings.Repeat("x", 999)
		for range 1000 {
			p.printNumber(line)
		}
		if !p.stuck(0) || p.stuck(time.Second) {
			t.Error("it is not stuck since now")
		}
		time.Sleep(time.Second)
		if !p.stuck(time.Second) {
			t.Error("it is not stuck since a second ago")
		}
		var out lockedbuffer.Buffer
		go io.Copy(&out, r)
		synctest.Wait()
		if p.stuck(0) {
			t.Error("it is stuck although all was read")
		}
		time.Sleep(window)
		p.printNumber("last")
		p.close(time.Second)
		w.Close()
		lines := linesOf(&out)
		if n := len(lines); n != 1+65+2 || lines[0] != "first" || lines[n-2] != "and 935 more lines" || lines[n-1] != "last" {
			t.Errorf("it printed %d lines, the last are %.80q", n, lines[max(0, n-2):])
		}
	})
}

// Each attempt to reach a server that reset the connection printed another line, since it
// contained the local port.
func TestRepeatedResetsAreOneLine(t *testing.T) {
	t.Parallel()
	var out lockedbuffer.Buffer
	c := client{out: newPrinter(&out)}
	for port := range 10 {
		c.printError(fmt.Errorf("hello: %w", &net.OpError{Op: "read", Net: "tcp",
			Source: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 50000 + port},
			Addr:   &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5000},
			Err:    errors.New("connection reset by peer")}))
	}
	c.out.close(deadline)
	if got := linesOf(&out); len(got) != 1 || got[0] != "Error: hello: read tcp 127.0.0.1:5000: connection reset by peer" {
		t.Errorf("it printed %q", got)
	}
}
