package live

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/server/numbersfile"

	"github.com/gorilla/websocket"
)

// A replicated game has several servers on one data directory, or on one etcd. Clients
// reach them through a balancer of TCP connections, which takes the next server for each.
type replicated struct {
	t     *testing.T
	dir   string
	url   string
	owns  *regexp.Regexp              // matches the metrics of the owner
	lines func() int64                // how many numbers are stored
	start func(i int) *harness.Server // starts a server in place of servers[i]

	mu       sync.Mutex
	servers  []*harness.Server
	vanished *harness.Server // cannot be reached by new connections, or nil
	read     []string        // versions of numbers.txt, each of which extends the one before
}

// replicate starts n servers on one data directory, and the balancer.
func replicate(t *testing.T, n int) *replicated {
	t.Helper()
	first := harness.GoServer(t)
	r := &replicated{t: t, dir: first.Dir, servers: []*harness.Server{first},
		lines: func() int64 { return harness.Lines(t, first.Dir) },
		owns:  regexp.MustCompile(`(?m)^counting_standby 0$`),
		start: func(int) *harness.Server { return first.Standby(t) }}
	for range n - 1 {
		r.servers = append(r.servers, first.Standby(t))
	}
	r.startBalancer()
	return r
}

// startBalancer starts the balancer.
func (r *replicated) startBalancer() {
	r.t.Helper()
	r.url = "http://" + harness.Balance(r.t, func() (servers []string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, s := range r.servers {
			address := s.URL[len("http://"):]
			if s == r.vanished {
				address = harness.Unreachable
			}
			servers = append(servers, address)
		}
		return servers
	})
}

func (r *replicated) all() []*harness.Server {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.servers)
}

// owner returns the index of the server that owns the game.
func (r *replicated) owner() (owner int) {
	r.t.Helper()
	harness.WaitFor(r.t, "a server to own the game", func() bool {
		owner = slices.IndexFunc(r.all(), func(s *harness.Server) bool {
			metrics, _ := harness.Fetch(r.t.Context(), http.MethodGet, s.URL+"/metrics", "")
			return r.owns.MatchString(metrics.Body)
		})
		return owner >= 0
	})
	return owner
}

// replace starts another server in place of one that has ended, or is frozen.
func (r *replicated) replace(i int) {
	r.t.Helper()
	r.all()[i].Kill()
	started := r.start(i)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.servers[i] = started
}

// readAll downloads numbers.txt from each server: each response must begin with all that
// an earlier one had.
func (r *replicated) readAll() {
	r.t.Helper()
	for i, s := range r.all() {
		ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
		response, err := harness.Fetch(ctx, http.MethodGet, s.URL+"/numbers.txt", "")
		cancel()
		if err != nil || response.Status != http.StatusOK {
			continue // the server, or its owner, has been killed or is frozen
		}
		text := response.Body
		r.mu.Lock()
		if n := len(r.read); n > 0 && !strings.HasPrefix(text, r.read[n-1]) {
			r.t.Errorf("server %d serves %d bytes of numbers.txt, which do not begin with the %d served before", i, len(text), len(r.read[n-1]))
		} else {
			r.read = append(r.read, text)
		}
		r.mu.Unlock()
	}
}

// vanish lets the machine of a server vanish: nothing answers on its connections any
// more, and there are no new ones.
func (r *replicated) vanish(s *harness.Server) {
	r.mu.Lock()
	r.vanished = s
	r.mu.Unlock()
	s.Freeze()
}

// grows waits until there are that many more numbers.
func (r *replicated) grows(by int64) {
	r.t.Helper()
	want := r.lines() + by
	harness.WaitFor(r.t, fmt.Sprintf("the number %d", want), func() bool { return r.lines() >= want })
}

// endOwners ends or freezes the server that owns the game, and starts it again when
// another one has continued, that many times. It returns the times from the end to the
// next number, sorted.
func (r *replicated) endOwners(times int, end func(*harness.Server)) (took []time.Duration) {
	r.t.Helper()
	r.grows(4)
	for range times {
		i := r.owner()
		r.readAll()
		began := time.Now()
		end(r.all()[i])
		r.grows(1)
		took = append(took, time.Since(began))
		r.readAll()
		r.replace(i)
		r.grows(4)
	}
	slices.Sort(took)
	return took
}

// endClients terminates the Go clients, and checks that none had ended before that, and
// that all numbers whose acks they received are stored.
func (r *replicated) endClients(clients []*harness.Program) {
	r.t.Helper()
	for _, c := range clients {
		if c.Ended() {
			r.t.Errorf("%s has ended, with exit code %d", c, c.WaitEnd())
			continue
		}
		c.Terminate()
	}
	for _, c := range clients {
		if acked, last := c.Acked(), r.lines(); acked == 0 || acked > last {
			r.t.Errorf("%s received the ack of %d, but the last number is %d", c, acked, last)
		}
	}
}

// Three times in a row, six in a soak, the owner ends, and another of three servers
// continues with the same clients.
func TestTheOwnerEndsAgainAndAgain(t *testing.T) {
	t.Parallel()
	rounds := 3
	if harness.Soak() {
		rounds = 6
	}
	for _, kind := range []harness.Kind{harness.Go, harness.Python} {
		for _, how := range []string{"killed", "terminated"} {
			t.Run(fmt.Sprintf("%s_%s", kind, how), func(t *testing.T) {
				t.Parallel()
				kind.Need(t)
				r := replicate(t, 3)
				pace := 20 * time.Millisecond
				if kind == harness.Python {
					pace = slow
				}
				start := func() *harness.Program { return kind.Start(t, r.url, pace, noLimit) }
				clients := []*harness.Program{start(), start()}
				supervised := func() {}
				if kind == harness.Python { // which may exit when it loses its server
					supervised = supervise(t, clients, start)
				}
				took := r.endOwners(rounds, func(owner *harness.Server) {
					if how == "killed" {
						owner.Kill()
						return
					}
					if d := owner.Terminate(); d > 3*time.Second { // 1 s on an idle machine
						t.Errorf("it took %v to end", d)
					}
					if code := owner.WaitEnd(); code != 0 {
						t.Errorf("it ended with exit code %d", code)
					}
				})
				r.readAll()
				supervised()
				t.Logf("%s clients, owner %s: times from its end to the next number, sorted: %v", kind, how, took)
				if median := took[len(took)/2]; median > 10*time.Second { // 0.2 s and 1.5 s on a machine with some load
					t.Errorf("the median is %v", median)
				}
				if kind == harness.Go {
					r.endClients(clients)
				}
				if len(r.read) < 2*rounds {
					t.Errorf("numbers.txt was read %d times", len(r.read))
				}
				text, err := os.ReadFile(filepath.Join(r.dir, numbersfile.Name))
				if last := r.read[len(r.read)-1]; err != nil || !strings.HasPrefix(string(text), last) {
					t.Errorf("numbers.txt lost what was read: %v", err)
				}
			})
		}
	}
}

// supervise restarts clients that end, until stop is called.
func supervise(t *testing.T, clients []*harness.Program, start func() *harness.Program) (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	for _, c := range clients {
		running.Go(func() {
			for {
				for !c.Ended() {
					select {
					case <-done:
						return
					case <-time.After(10 * time.Millisecond):
					}
				}
				c = start()
			}
		})
	}
	stop = sync.OnceFunc(func() { close(done); running.Wait() })
	t.Cleanup(stop)
	return stop
}

// Forwarding adds little to the time from a number to its ack and to the memory of a
// standby.
func TestTheCostOfForwarding(t *testing.T) {
	const numbers, sockets = 1000, 300
	owner := harness.ReleasedServer(t)
	standby := owner.ReleasedStandby(t)
	dial := func(s *harness.Server, game string) *websocket.Conn {
		t.Helper()
		return harness.DialSession(t, s.URL, "&game="+game)
	}
	await := func(c *websocket.Conn, head string) {
		t.Helper()
		c.SetReadDeadline(time.Now().Add(time.Minute))
		for {
			_, text, err := c.ReadMessage()
			if err != nil {
				t.Fatalf("waiting for %s: %v", head, err)
			}
			if string(text) == "2" {
				c.WriteMessage(websocket.TextMessage, []byte("3"))
			}
			if bytes.HasPrefix(text, []byte(head)) {
				return
			}
		}
	}
	type pair [2]*websocket.Conn
	join := func(s *harness.Server, game string) (p pair) {
		for i := range p {
			p[i] = dial(s, game)
			p[i].WriteMessage(websocket.TextMessage, []byte("40"))
			await(p[i], "40{")
		}
		return p
	}
	ways := map[string]pair{"direct": join(owner, "direct"), "forwarded": join(standby, "forwarded")}
	took := make(map[string][]time.Duration)
	for n := 1; n <= numbers; n++ {
		for way, p := range ways {
			c := p[(n-1)%2]
			began := time.Now()
			c.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `42%d["number",{"client_id":"client%d","number":%d}]`, n, (n-1)%2+1, n))
			await(c, fmt.Sprintf("43%d[]", n))
			took[way] = append(took[way], time.Since(began))
		}
	}
	median := make(map[string]time.Duration)
	for way, all := range took {
		slices.Sort(all)
		median[way] = all[len(all)/2]
	}
	t.Logf("from a number to its ack, p50: direct %v, forwarded %v", median["direct"], median["forwarded"])
	if more := median["forwarded"] - median["direct"]; more > 10*time.Millisecond { // 0.5 ms on an idle machine
		t.Errorf("forwarding takes %v", more)
	}
	if runtime.GOOS != "linux" {
		return // the memory of a process is read from /proc
	}
	before := standby.Memory(t)
	for i := range sockets {
		dial(standby, fmt.Sprintf("many-%d", i%100))
	}
	each := (standby.Memory(t) - before) / sockets
	t.Logf("a forwarded WebSocket takes %d bytes of the memory of the server that forwards", each)
	if each > 100<<10 {
		t.Errorf("a forwarded WebSocket takes %d bytes", each)
	}
}
