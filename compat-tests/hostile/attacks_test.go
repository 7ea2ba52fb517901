package hostile

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/compat-tests/results"

	"github.com/gorilla/websocket"
)

// An attack is repeated for some time, while two honest clients count.
type attack struct {
	name string
	// once does it once. It is called repeatedly by each of workers goroutines.
	once    func(a *attackRun)
	workers int
}

// attackRun is a running attack.
type attackRun struct {
	attacker
	over <-chan struct{} // closed when the time is up
	mu   sync.Mutex
	open []io.Closer // connections to close at the end
}

// keep keeps a connection open until the attack ends, or until there are maxKept newer
// ones.
func (s *attackRun) keep(c net.Conn) net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, c)
	if len(s.open) > maxKept {
		s.open[0].Close()
		s.open = s.open[1:]
	}
	return c
}

// maxKept is how many connections an attack has open at the same time, which is more than
// the server accepts.
const maxKept = 6000

// release closes all connections.
func (s *attackRun) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		c.Close()
	}
	s.open = nil
}

func (s *attackRun) wait(d time.Duration) {
	select {
	case <-s.over:
	case <-time.After(d):
	}
}

// dialed returns a connection, or nil if the server does not accept it.
func (s *attackRun) dialed() net.Conn {
	c, err := net.DialTimeout("tcp", s.addr, timeout)
	if err != nil {
		s.wait(10 * time.Millisecond)
		return nil
	}
	return s.keep(c)
}

// opened returns the path of a new polling session, or "".
func (s *attackRun) opened() string {
	_, text := s.request("GET", handshake, nil)
	sid := sidField.FindStringSubmatch(text)
	if sid == nil {
		s.wait(time.Millisecond)
		return ""
	}
	return handshake + "&sid=" + sid[1]
}

// upgraded opens a WebSocket for a session, or for a new one if the path is empty. It
// returns nil if the server refuses.
func (s *attackRun) upgraded(path string) net.Conn {
	if path == "" {
		path = webSocketPath
	}
	c := s.dialed()
	if c == nil {
		return nil
	}
	c.SetDeadline(time.Now().Add(timeout))
	fmt.Fprint(c, get(strings.Replace(path, "polling", "websocket", 1), upgrade+version+key))
	head := make([]byte, 0, 512)
	for b := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, b[0]) {
		if _, err := c.Read(b); err != nil || len(head) > 4096 {
			c.Close()
			return nil
		}
	}
	c.SetDeadline(time.Time{})
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101")) {
		c.Close()
		return nil
	}
	return c
}

var large = bytes.Repeat([]byte("4"), 990_000)

// attacks are attacks that ended, stopped or slowed down an earlier version of the
// server.
var attacks = []attack{
	{"two probes in one write on an upgrade", func(s *attackRun) {
		if path := s.opened(); path != "" {
			if c := s.upgraded(path); c != nil {
				c.Write(append(frame(0x81, []byte("2probe")), frame(0x81, []byte("2probe"))...))
				c.SetReadDeadline(time.Now().Add(time.Second))
				io.Copy(io.Discard, c)
				c.Close()
			}
		}
	}, 4},
	{"a waiting poll and its upgrade are reset together", func(s *attackRun) {
		path := s.opened()
		if path == "" {
			return
		}
		poll, ws := s.dialed(), s.upgraded(path)
		if poll == nil || ws == nil {
			return
		}
		fmt.Fprint(poll, get(path, ""))
		ws.Write(frame(0x81, []byte("2probe")))
		ws.Write(frame(0x81, []byte("5")))
		poll.(*net.TCPConn).SetLinger(0)
		ws.(*net.TCPConn).SetLinger(0)
		go poll.Close()
		ws.Close()
	}, 4},
	{"sessions end as their probes arrive", func(s *attackRun) {
		path := s.opened()
		if path == "" {
			return
		}
		if c := s.upgraded(path); c != nil {
			go c.Write(frame(0x81, []byte("2probe")))
			s.request("POST", path, strings.NewReader("1"))
			c.Close()
		}
	}, 4},
	{"bodies of 990 kB that are never finished", func(s *attackRun) {
		path := s.opened()
		if c := s.dialed(); c != nil && path != "" {
			fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", path)
			c.SetWriteDeadline(time.Now().Add(timeout))
			c.Write(large)
			s.wait(50 * time.Millisecond)
		}
	}, 8},
	{"frames of 990 kB that are never finished", func(s *attackRun) {
		if c := s.upgraded(""); c != nil {
			c.SetWriteDeadline(time.Now().Add(timeout))
			c.Write([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 0, 0, 0})
			c.Write(large)
			s.wait(50 * time.Millisecond)
		}
	}, 8},
	{"polling sessions with pending refusals", func(s *attackRun) {
		path := s.opened()
		if path == "" {
			return
		}
		s.request("POST", path, strings.NewReader("40"))
		for range 19 {
			if status, _ := s.request("POST", path, strings.NewReader(strings.Repeat("421"+number+"\x1e", 1000)+unknownEvent)); status != http.StatusOK {
				return
			}
		}
	}, 8},
	{"idle connections", func(s *attackRun) {
		if c := s.dialed(); c != nil {
			fmt.Fprint(c, get("/health", ""))
		}
		s.wait(5 * time.Millisecond)
	}, 4},
	{"idle sessions over polling", func(s *attackRun) {
		s.opened()
		s.wait(5 * time.Millisecond)
	}, 4},
	{"idle sessions over WebSocket that ask for a seat", func(s *attackRun) {
		if c := s.upgraded(""); c != nil {
			c.Write(frame(0x81, []byte("40")))
			go io.Copy(io.Discard, c)
		}
		s.wait(5 * time.Millisecond)
	}, 4},
	{"headers that are never finished", func(s *attackRun) {
		if c := s.dialed(); c != nil {
			fmt.Fprintf(c, "GET / HTTP/1.1\r\nX: %s", strings.Repeat("x", 7000))
		}
		s.wait(5 * time.Millisecond)
	}, 4},
	{"endless broken packets", func(s *attackRun) {
		c := s.upgraded("")
		if c == nil {
			return
		}
		go io.Copy(io.Discard, c)
		burst := bytes.Repeat(frame(0x81, []byte("4x")), 500)
		for {
			select {
			case <-s.over:
				return
			default:
			}
			if _, err := c.Write(burst); err != nil {
				return
			}
		}
	}, 1},
	{"300 readers of the stream from its beginning", func(s *attackRun) {
		if c := s.dialed(); c != nil {
			fmt.Fprint(c, get("/events?after=0", ""))
			go io.Copy(io.Discard, c)
		}
		s.wait(200 * time.Millisecond)
	}, 2},
	{"endless CONNECT and DISCONNECT", func(s *attackRun) {
		c := s.upgraded("")
		if c == nil {
			return
		}
		go io.Copy(io.Discard, c)
		burst := bytes.Repeat(append(frame(0x81, []byte("40")), frame(0x81, []byte("41"))...), 100)
		for {
			select {
			case <-s.over:
				return
			default:
			}
			if _, err := c.Write(burst); err != nil {
				return
			}
			s.wait(time.Millisecond)
		}
	}, 1},
	{"messages of 990 kB, and compressed ones", func(s *attackRun) {
		dialer := websocket.Dialer{EnableCompression: true, HandshakeTimeout: timeout}
		conn, _, err := dialer.Dial("ws://"+s.addr+webSocketPath, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for range 10 {
			conn.SetWriteDeadline(time.Now().Add(timeout))
			if conn.WriteMessage(websocket.TextMessage, large) != nil {
				return
			}
			s.wait(20 * time.Millisecond)
		}
	}, 4},
}

// maxMemory is how much memory the server may use, as in the manifests.
const maxMemory = 100 << 20

// attackTime is how long each attack lasts. A short heartbeat ends abandoned sessions
// sooner. In a soak it is a minute, with the default heartbeat.
var attackTime, heartbeat = func() (time.Duration, string) {
	if harness.Soak() {
		return time.Minute, "25s/20s"
	}
	return time.Second, "2s/2s"
}()

// soaking reports whether rates and memory are compared, as the machine is otherwise
// idle.
var soaking = harness.Soak()

// Each attack runs on a server of its own, while two honest clients count at 10 ms.
func TestAttacks(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the memory of a process is read from /proc")
	}
	table := results.New(t, "attacks", "attack", "times", "numbers per second before", "during", "peak memory", "memory afterwards")
	for _, attack := range attacks {
		t.Run(strings.ReplaceAll(attack.name, " ", "_"), func(t *testing.T) {
			if !soaking {
				t.Parallel()
			}
			server := harness.ReleasedServer(t, "-heartbeat", heartbeat)
			honest := honestClients(t, server, 10*time.Millisecond)
			lines := func() int64 { return harness.Lines(t, server.Dir) }
			rate := func(during func()) float64 {
				from, began := lines(), time.Now()
				during()
				return float64(lines()-from) / time.Since(began).Seconds()
			}
			calm := rate(func() { time.Sleep(max(time.Second, attackTime/10)) })
			atRest := server.Memory(t)

			over := make(chan struct{})
			end := sync.OnceFunc(func() { close(over) })
			var workers sync.WaitGroup
			t.Cleanup(func() {
				end()
				workers.Wait()
			})
			s := &attackRun{attacker: newAttacker(t, server), over: over}
			s.client.Transport = &http.Transport{MaxIdleConnsPerHost: 64}
			defer s.release()
			var times, most atomic.Int64
			meanwhile := rate(func() {
				from := lines()
				for range attack.workers {
					workers.Go(func() {
						for {
							select {
							case <-over:
								return
							default:
								attack.once(s)
								times.Add(1)
							}
						}
					})
				}
				for end := time.Now().Add(attackTime); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
					most.Store(max(most.Load(), int64(server.Memory(t))))
				}
				harness.WaitFor(t, "a number during the attack", func() bool { return lines() > from })
				end()
				workers.Wait()
			})
			s.release()
			s.client.CloseIdleConnections()
			undisturbed(t, honest)
			if soaking && meanwhile < calm/2 {
				t.Errorf("%.0f numbers per second were counted during the attack, %.0f before", meanwhile, calm)
			}
			if most.Load() > maxMemory {
				t.Errorf("the server used %d MB", most.Load()>>20)
			}
			harness.WaitFor(t, "the sessions to end", func() bool { return measure(t, server.URL).sessions <= 2 })
			after := server.Memory(t)
			for deadline := time.Now().Add(5 * time.Minute); soaking && after > atRest+10<<20 && time.Now().Before(deadline); after = server.Memory(t) {
				time.Sleep(time.Second) // it is returned to the system slowly
			}
			if soaking && after > atRest+10<<20 {
				t.Errorf("the server uses %d MB afterwards, and %d MB before", after>>20, atRest>>20)
			}
			table.Row(attack.name, times.Load(), fmt.Sprintf("%.0f", calm), fmt.Sprintf("%.0f", meanwhile), megabytes(int(most.Load())), megabytes(after))
		})
	}
}

func megabytes(bytes int) string { return strconv.FormatFloat(float64(bytes)/1e6, 'f', 1, 64) + " MB" }
