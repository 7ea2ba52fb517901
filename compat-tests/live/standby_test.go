package live

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"counting/compat-tests/subject"
	"counting/server/numbersfile"

	"github.com/gorilla/websocket"
)

// A replicated game is one data directory, or one etcd, with several servers, behind
// a balancer of TCP connections that takes the next server for each.
type replicated struct {
	t     *testing.T
	dir   string
	url   string
	owns  *regexp.Regexp              // what the metrics of the game's owner have
	lines func() int64                // how many numbers are kept
	start func(i int) *subject.Server // starts a server in that place

	mu      sync.Mutex
	servers []*subject.Server
	kept    [][]byte // the longest numbers.txt that anybody was given
}

// replicate starts that many servers, and the balancer.
func replicate(t *testing.T, n int) *replicated {
	t.Helper()
	first := subject.GoServer(t)
	r := &replicated{t: t, dir: first.Dir, servers: []*subject.Server{first},
		owns:  regexp.MustCompile(`(?m)^counting_standby 0$`),
		start: func(int) *subject.Server { return first.Standby(t) }}
	r.lines = r.inFile
	for range n - 1 {
		r.servers = append(r.servers, first.Standby(t))
	}
	r.balanced()
	return r
}

// balanced starts the balancer.
func (r *replicated) balanced() {
	r.t.Helper()
	r.url = "http://" + subject.Balance(r.t, func() (servers []string) {
		for _, s := range r.all() {
			servers = append(servers, s.URL[len("http://"):])
		}
		return servers
	})
}

func (r *replicated) all() []*subject.Server {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.servers)
}

// owner returns the index of the server that owns the game.
func (r *replicated) owner() int {
	r.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for i, s := range r.all() {
			response, err := http.Get(s.URL + "/metrics")
			if err != nil {
				continue
			}
			text, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if r.owns.Match(text) {
				return i
			}
		}
	}
	r.t.Fatal("no server owns the game")
	return 0
}

// replace starts another server in the place of one that has ended.
func (r *replicated) replace(i int) {
	r.t.Helper()
	started := r.start(i)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.servers[i] = started
}

// read asks each server for numbers.txt: each answer has to be a prefix of the
// count, and none may be shorter than one that was given before.
func (r *replicated) read() {
	r.t.Helper()
	for i, s := range r.all() {
		response, err := http.Get(s.URL + "/numbers.txt")
		if err != nil {
			continue // it was killed
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			continue // its owner was
		}
		r.mu.Lock()
		if n := len(r.kept); n > 0 && !bytes.HasPrefix(text, r.kept[n-1]) {
			r.t.Errorf("server %d gives %d bytes of numbers.txt, which do not begin with the %d that were given before", i, len(text), len(r.kept[n-1]))
		} else {
			r.kept = append(r.kept, text)
		}
		r.mu.Unlock()
	}
}

// inFile returns how many numbers the file has.
func (r *replicated) inFile() int64 {
	r.t.Helper()
	n, bad, err := numbersfile.Verify(filepath.Join(r.dir, numbersfile.Name))
	if err != nil || bad != nil && !bad.Torn {
		r.t.Fatalf("numbers.txt: %v, %v", bad, err)
	}
	return n
}

// grows waits until there are so many more numbers.
func (r *replicated) grows(by int64) {
	r.t.Helper()
	from, deadline := r.lines(), time.Now().Add(patience)
	for r.lines() < from+by {
		if time.Now().After(deadline) {
			r.t.Fatalf("the count stands at %d", r.lines())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// endOwners ends the server that owns the game, and starts it again when another one
// has gone on, that many times. It returns the times from the end to the next
// number, the shortest first.
func (r *replicated) endOwners(times int, end func(*subject.Server)) (took []time.Duration) {
	r.t.Helper()
	r.grows(4)
	for range times {
		i := r.owner()
		r.read()
		began := time.Now()
		end(r.all()[i])
		r.grows(1)
		took = append(took, time.Since(began))
		r.read()
		r.replace(i)
		r.grows(4)
	}
	slices.Sort(took)
	return took
}

// Three times in a row, in a soak six, the owner ends, and the next of three servers
// goes on with the same clients.
func TestTheOwnerEndsAgainAndAgain(t *testing.T) {
	t.Parallel()
	rounds := 3
	if subject.Soak() {
		rounds = 6
	}
	for _, kind := range []subject.Kind{subject.Go, subject.Python} {
		for _, how := range []string{"killed", "terminated"} {
			t.Run(fmt.Sprintf("%s_%s", kind, how), func(t *testing.T) {
				t.Parallel()
				kind.Need(t)
				r := replicate(t, 3)
				pace := 20 * time.Millisecond
				if kind == subject.Python {
					pace = slow
				}
				var clients []*subject.Program
				start := func() *subject.Program { return kind.Start(t, r.url, pace, noLimit) }
				clients = append(clients, start(), start())
				supervised := supervise(t, clients, start)
				took := r.endOwners(rounds, func(owner *subject.Server) {
					if how == "killed" {
						owner.Kill()
					} else if d := owner.Terminate(); d > 3*time.Second { // one, on an idle machine
						t.Errorf("it took %v to end", d)
					}
				})
				r.read()
				supervised()
				t.Logf("%s clients, the owner %s: from its end to the next number, in order: %v", kind, how, took)
				if median := took[len(took)/2]; median > 10*time.Second { // 0.2 s and 1.5 s, on a machine that is not idle
					t.Errorf("the median is %v", median)
				}
				for _, c := range clients {
					if acked, last := c.Acked(), r.lines(); kind == subject.Go && acked > last {
						t.Errorf("%s had an ack for %d, and the file ends with %d", c, acked, last)
					}
				}
				if len(r.kept) < 2*rounds {
					t.Errorf("numbers.txt was read %d times", len(r.kept))
				}
				text, err := os.ReadFile(filepath.Join(r.dir, numbersfile.Name))
				if last := r.kept[len(r.kept)-1]; err != nil || !bytes.HasPrefix(text, last) {
					t.Errorf("numbers.txt lost what was read: %v", err)
				}
			})
		}
	}
}

// supervise starts clients again that end, until the function that it returns is
// called.
func supervise(t *testing.T, clients []*subject.Program, start func() *subject.Program) (stop func()) {
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

// What forwarding costs: the time from a number to its ack, and the memory of a
// server that forwards WebSockets.
func TestTheCostOfForwarding(t *testing.T) {
	const numbers, sockets = 1000, 300
	owner := subject.ReleasedServer(t)
	standby := owner.ReleasedStandby(t)
	dial := func(s *subject.Server, game string) *websocket.Conn {
		t.Helper()
		c, _, err := websocket.DefaultDialer.Dial("ws"+s.URL[len("http"):]+"/socket.io/?EIO=4&transport=websocket&game="+game, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	await := func(c *websocket.Conn, head string) {
		t.Helper()
		c.SetReadDeadline(time.Now().Add(patience))
		for {
			_, text, err := c.ReadMessage()
			if err != nil {
				t.Fatalf("%v in place of %s", err, head)
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
	join := func(s *subject.Server, game string) (p pair) {
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
	if more := median["forwarded"] - median["direct"]; more > 10*time.Millisecond { // 0.5 ms, on an idle machine
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
