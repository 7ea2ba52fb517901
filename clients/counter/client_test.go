package counter

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"counting/clients/socketio/socketiotest"
	"counting/compat-tests/lockedbuffer"
)

// long is longer than any test takes, and deadline is how long a test may take.
const (
	long     = time.Hour
	deadline = 20 * time.Second
)

// eager has short delays, and long timeouts for what must not time out in a test.
func eager() timeouts {
	return timeouts{connect: deadline, seat: long, resend: long, idle: long, print: long,
		retryMin: time.Millisecond, retryMax: 2 * time.Millisecond}
}

// linesOf returns the lines that a client printed.
func linesOf(out *lockedbuffer.Buffer) []string {
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

// running is a client that runs in the background.
type running struct {
	out   *lockedbuffer.Buffer
	stop  context.CancelFunc
	ended chan struct{}
}

func begin(t *testing.T, server *url.URL, limit int64, wait timeouts, options ...func(*Config)) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{out: new(lockedbuffer.Buffer), stop: cancel, ended: make(chan struct{})}
	config := Config{Server: server, Limit: limit, Interval: time.Millisecond, Out: r.out}
	for _, option := range options {
		option(&config)
	}
	go func() {
		defer close(r.ended)
		run(ctx, config, wait)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.ended
	})
	return r
}

// mustEnd waits until the client ends without being stopped.
func (r *running) mustEnd(t *testing.T) {
	t.Helper()
	mustClose(t, r.ended, "the client to end")
}

func mustClose(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(deadline):
		t.Fatalf("timed out waiting for %s", what)
	}
}

func assign(seat string, last int) string {
	return fmt.Sprintf(`42["client_assigned",{"client_id":%q,"last_number":%d}]`, seat, last)
}

const (
	startGame = `42["start_game"]`
	stopGame  = `42["stop_game"]`
)

func TestClientCountsToTheLimitAndLeaves(t *testing.T) {
	t.Parallel()
	counted := make(chan []int64, 1)
	server := socketiotest.Serve(t, func(_ int, s *socketiotest.Session) {
		s.Open(assign("client2", 2), startGame) // as python-socketio: before CONNECT
		var got []int64
		for n, ok := s.Number(); ok; n, ok = s.Number() {
			got = append(got, n)
			s.Ack(n)
		}
		counted <- got
	})
	r := begin(t, server, 6, eager())
	r.mustEnd(t)
	if got, want := <-counted, []int64{2, 4, 6}; !slices.Equal(got, want) {
		t.Errorf("server got %d, want %d", got, want)
	}
	want := []string{
		"Connected to server!",
		"Assigned as client2, resuming from 2",
		"Game starting!",
		"client2 counting: two",
		"client2 counting: four",
		"client2 counting: six",
		"Disconnected from server!",
	}
	if got := linesOf(r.out); !slices.Equal(got, want) {
		t.Errorf("printed %q, want %q", got, want)
	}
}

// A client that connects after the last number asks for the ack of the limit, but does not
// print it as counted.
func TestNumberThatTheServerHasIsNotPrinted(t *testing.T) {
	t.Parallel()
	counted := make(chan int64, 10)
	server := socketiotest.Serve(t, func(_ int, s *socketiotest.Session) {
		s.Open(assign("client2", 8), startGame)
		for n, ok := s.Number(); ok; n, ok = s.Number() {
			counted <- n
			s.Ack(n)
		}
		close(counted)
	})
	r := begin(t, server, 6, eager())
	r.mustEnd(t)
	if n := <-counted; n != 6 {
		t.Errorf("server got %d, want 6", n)
	}
	for _, line := range linesOf(r.out) {
		if strings.Contains(line, "counting:") {
			t.Errorf("printed %q", line)
		}
	}
}

// client1 must wait for client2 to count the limit, since the game stops if client1
// leaves. It must not mistake a pause in the game for the end either.
func TestClientWithNothingLeftWaitsForTheEnd(t *testing.T) {
	t.Parallel()
	wait := eager()
	wait.idle = 50 * time.Millisecond
	stayed := make(chan time.Duration, 1) // after the end of the game
	server := socketiotest.Serve(t, func(_ int, s *socketiotest.Session) {
		s.Open(assign("client1", 1), startGame)
		n, _ := s.Number()
		s.Ack(n)
		// A peer that is cut off and reconnects.
		s.Send(stopGame, startGame)
		<-time.After(3 * wait.idle)
		stopped := time.Now()
		s.Send(stopGame)
		s.Wait()
		stayed <- time.Since(stopped)
	})
	begin(t, server, 2, wait).mustEnd(t)
	if stayed := <-stayed; stayed < wait.idle {
		t.Errorf("stayed for %v after the game, want at least %v", stayed, wait.idle)
	}
}

func TestClientWithNothingToCountLeavesAGameThatDoesNotStart(t *testing.T) {
	t.Parallel()
	wait := eager()
	wait.idle = time.Millisecond
	server := socketiotest.Serve(t, func(_ int, s *socketiotest.Session) {
		s.Open(assign("client1", 2001))
		s.Wait()
	})
	begin(t, server, 2000, wait).mustEnd(t)
}

func TestClientThatStaysComesBackAndCountsNoMore(t *testing.T) {
	t.Parallel()
	wait := eager()
	wait.idle = time.Millisecond
	third := make(chan struct{})
	server := socketiotest.Serve(t, func(n int, s *socketiotest.Session) {
		switch s.Open(assign("client2", 2+2*min(n, 1)), startGame); n {
		case 0:
			n, _ := s.Number()
			s.Ack(n)
			s.Send(stopGame)
		case 1:
			s.Send(stopGame)
		case 2:
			close(third)
			if n, ok := s.Number(); ok {
				t.Errorf("counted %d", n)
			}
		}
	})
	r := begin(t, server, 2, wait, func(c *Config) { c.Stay = true })
	mustClose(t, third, "the third session")
	r.stop()
	r.mustEnd(t)
}

// Every way in which a server may end or refuse a session, and one number after that.
func TestClientComesBack(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		first func(*socketiotest.Session)
		wait  func(*timeouts)
		error string // what is printed
	}{
		{"after no Engine.IO", func(s *socketiotest.Session) { s.Send("hello") },
			nil, "Error: the server does not speak Engine.IO 4"},
		{"after a session that is cut off before CONNECT", func(s *socketiotest.Session) { s.Handshake() },
			nil, "Error: websocket: close 1006 (abnormal closure): unexpected EOF"},
		{"after no CONNECT", func(s *socketiotest.Session) { s.Handshake(); s.Wait() },
			func(p *timeouts) { p.connect = 200 * time.Millisecond }, "Error: the server did not connect within 200ms"},
		{"after a refused CONNECT", func(s *socketiotest.Session) {
			s.Handshake()
			s.Send(`44{"message":"both seats are taken"}`)
			s.Wait()
		}, nil, "Error: both seats are taken"},
		{"after a refused CONNECT of python-socketio", func(s *socketiotest.Session) {
			s.Handshake()
			s.Send(`44"Unable to connect"`)
			s.Wait()
		}, nil, "Error: Unable to connect"},
		{"after a refusal that would forge a line", func(s *socketiotest.Session) {
			s.Handshake()
			s.Send(`44{"message":"no\nclient1 counting: one\u001b[2J"}`)
			s.Wait()
		}, nil, `Error: "no\nclient1 counting: one\x1b[2J"`},
		{"after endless events without CONNECT", func(s *socketiotest.Session) {
			s.Handshake()
			s.Send(slices.Repeat([]string{startGame}, 200)...)
			s.Wait()
		}, nil, "Error: the server sends events but does not connect"},
		{"after no seat", func(s *socketiotest.Session) { s.Open(startGame, stopGame); s.Wait() },
			func(p *timeouts) { p.seat = 20 * time.Millisecond }, "Error: no seat is free"},
		{"after an unknown seat", func(s *socketiotest.Session) { s.Open(assign("client3", 1)); s.Wait() },
			nil, `Error: the server assigned the seat "client3", which does not exist`},
		{"after an invalid assignment", func(s *socketiotest.Session) { s.Open(`42["client_assigned"]`); s.Wait() },
			nil, "Error: client_assigned: it has no such argument"},
		{"after a lost connection", func(s *socketiotest.Session) { s.Open(assign("client1", 1), startGame); s.Number() },
			nil, "Error: websocket: close 1006 (abnormal closure): unexpected EOF"},
		{"after a DISCONNECT", func(s *socketiotest.Session) { s.Open(); s.Send("41"); s.Wait() },
			nil, "Error: the server ended the session"},
		{"after a closed Engine.IO session", func(s *socketiotest.Session) { s.Open(); s.Send("1"); s.Wait() },
			nil, "Error: the server closed the session"},
		{"after a refused number", func(s *socketiotest.Session) {
			s.Open(assign("client1", 1), startGame)
			n, _ := s.Number()
			s.Send(fmt.Sprintf(`43%d[{"error":"not your seat"}]`, n))
			s.Wait()
		}, nil, "Error: 1 was refused: not your seat"},
		{"after a packet that is far too long", func(s *socketiotest.Session) {
			s.Open()
			s.Send(`42["` + strings.Repeat("a", 2<<20) + `"]`)
			s.Wait()
		}, nil, "Error: websocket: read limit exceeded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			second := make(chan struct{})
			once := sync.OnceFunc(func() { close(second) })
			server := socketiotest.Serve(t, func(n int, s *socketiotest.Session) {
				if n == 0 {
					tt.first(s)
					return
				}
				once() // on a busy machine, the second session may also be too late for a timeout
				s.Open(assign("client1", 1), startGame)
				if n, ok := s.Number(); n == 1 && ok {
					s.Ack(n)
				}
			})
			wait := eager()
			if tt.wait != nil {
				tt.wait(&wait)
			}
			r := begin(t, server, 1, wait)
			mustClose(t, second, "the second session")
			r.mustEnd(t)
			lines := linesOf(r.out)
			if !slices.Contains(lines, tt.error) {
				t.Errorf("printed %q, want %q", lines, tt.error)
			}
			if !slices.Contains(lines, "client1 counting: one") {
				t.Errorf("printed %q: it does not count", lines)
			}
		})
	}
}

func TestClientSurvivesBrokenPackets(t *testing.T) {
	t.Parallel()
	server := socketiotest.Serve(t, func(_ int, s *socketiotest.Session) {
		s.Open(assign("client1", 1))
		s.Send("", "x", "4", "42", "42[", "42[]", "42[5]", `42"x"`, "42{}", "42null", "43", "43[]", "431", "431{}",
			"4399999999999999999999[]", "40", "44", "45", "451-[]", "461-[]", `42/admin,["stop_game"]`, "42/admin",
			`42["unheard of"]`, "5", "6", "2", startGame)
		for n, ok := s.Next(); ok && n != `421["number",{"client_id":"client1","number":1}]`; n, ok = s.Next() {
			if n != "3" {
				t.Errorf("the client sent %q", n)
			}
		}
		s.Ack(1)
		s.Wait()
	})
	begin(t, server, 1, eager()).mustEnd(t)
}

func TestClientSendsAgainWhatIsNotAcked(t *testing.T) {
	t.Parallel()
	wait := eager()
	wait.resend = time.Millisecond
	server := socketiotest.Serve(t, func(_ int, s *socketiotest.Session) {
		s.Open(assign("client1", 1), startGame)
		for range 3 {
			if n, ok := s.Number(); n != 1 || !ok {
				t.Errorf("the client sent %d, %v", n, ok)
			}
		}
		s.Ack(1)
		s.Wait()
	})
	r := begin(t, server, 1, wait)
	r.mustEnd(t)
	count := 0
	for _, line := range linesOf(r.out) {
		if line == "client1 counting: one" {
			count++
		}
	}
	if count != 1 {
		t.Errorf("printed the number %d times", count)
	}
}

func TestClientKeepsItsInterval(t *testing.T) {
	t.Parallel()
	// An ack takes most of the interval, of which it is a part: so a number comes
	// less than an interval and an ack after the one before, unless the machine is
	// busy, which it is not all the time.
	const interval, ack, numbers = 50 * time.Millisecond, 40 * time.Millisecond, 8
	counted := make(chan time.Duration, 1) // from the first number to the last
	server := socketiotest.Serve(t, func(_ int, s *socketiotest.Session) {
		s.Open(assign("client1", 1), startGame)
		n, _ := s.Number()
		began := time.Now()
		last, soonest := began, time.Hour
		for i := 1; i < numbers || soonest >= interval+ack; i++ {
			<-time.After(ack)
			s.Ack(n)
			var ok bool
			if n, ok = s.Number(); !ok {
				break
			}
			soonest, last = min(soonest, time.Since(last)), time.Now()
			if i == numbers-1 {
				counted <- time.Since(began)
			}
		}
		close(counted)
	})
	r := begin(t, server, 1_000_001, eager(), func(c *Config) { c.Interval = interval })
	took, least := <-counted, (numbers-2)*interval
	if took < least {
		t.Errorf("%d numbers took %v, want at least %v", numbers, took, least)
	}
	select {
	case <-counted: // closed
	case <-time.After(deadline):
		t.Errorf("no number came sooner than %v after the one before", interval+ack)
	}
	r.stop()
}
