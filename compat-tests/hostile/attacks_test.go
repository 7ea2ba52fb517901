package hostile

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"counting/compat-tests/results"
	"counting/compat-tests/subject"
	"counting/server/numbersfile"

	"github.com/gorilla/websocket"
)

// An attack goes on for a time, beside two honest clients that count.
type attack struct {
	name string
	// once does it one time, or in one piece. It is called again and again, by
	// workers goroutines.
	once    func(a *siege)
	workers int
}

// siege is an attack that goes on.
type siege struct {
	attacker
	over   <-chan struct{} // closed when the time is up
	mu     sync.Mutex
	closer []io.Closer // open until the end
}

// keep keeps a connection open until the attack ends, or there are too many.
func (s *siege) keep(c net.Conn) net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closer = append(s.closer, c)
	if len(s.closer) > maxKept {
		s.closer[0].Close()
		s.closer = s.closer[1:]
	}
	return c
}

// maxKept is how many connections an attack has open at one time. The server lets
// fewer than that in.
const maxKept = 6000

// release closes what is open.
func (s *siege) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.closer {
		c.Close()
	}
	s.closer = nil
}

func (s *siege) wait(d time.Duration) {
	select {
	case <-s.over:
	case <-time.After(d):
	}
}

// dialed returns a connection, or nil if the server does not take it.
func (s *siege) dialed() net.Conn {
	c, err := net.DialTimeout("tcp", s.addr, patience)
	if err != nil {
		s.wait(10 * time.Millisecond)
		return nil
	}
	return s.keep(c)
}

// opened returns the path of a new polling session, or "".
func (s *siege) opened() string {
	status, text := s.ask("GET", handshake, nil)
	_, sid, ok := strings.Cut(text, `"sid":"`)
	if status != http.StatusOK || !ok {
		s.wait(time.Millisecond)
		return ""
	}
	sid, _, _ = strings.Cut(sid, `"`)
	return handshake + "&sid=" + sid
}

// ask sends a request, and returns 0 if there is no answer.
func (s *siege) ask(method, path string, body io.Reader) (int, string) {
	r, err := http.NewRequest(method, "http://"+s.addr+path, body)
	if err != nil {
		s.t.Error(err)
		return 0, ""
	}
	response, err := client.Do(r)
	if err != nil {
		s.wait(time.Millisecond)
		return 0, ""
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

var client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// upgraded returns the answered WebSocket of a session, or of a new one for "".
func (s *siege) upgraded(path string) net.Conn {
	if path == "" {
		path = overWS
	}
	c := s.dialed()
	if c == nil {
		return nil
	}
	c.SetDeadline(time.Now().Add(patience))
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

// attacks are those that ended, stopped or starved an earlier server. Each was seen
// to do so.
var attacks = []attack{
	{"two probes in one write on an upgrade", func(s *siege) {
		if path := s.opened(); path != "" {
			if c := s.upgraded(path); c != nil {
				c.Write(append(frame(0x81, []byte("2probe")), frame(0x81, []byte("2probe"))...))
				c.SetReadDeadline(time.Now().Add(time.Second))
				io.Copy(io.Discard, c)
				c.Close()
			}
		}
	}, 4},
	{"a waiting poll and its upgrade are cut together", func(s *siege) {
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
	{"sessions end as their probes arrive", func(s *siege) {
		path := s.opened()
		if path == "" {
			return
		}
		if c := s.upgraded(path); c != nil {
			go c.Write(frame(0x81, []byte("2probe")))
			s.ask("POST", path, strings.NewReader("1"))
			c.Close()
		}
	}, 4},
	{"bodies of 990 kB that are never finished", func(s *siege) {
		path := s.opened()
		if c := s.dialed(); c != nil && path != "" {
			fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", path)
			c.SetWriteDeadline(time.Now().Add(patience))
			c.Write(large)
			s.wait(50 * time.Millisecond)
		}
	}, 8},
	{"frames of 990 kB that are never finished", func(s *siege) {
		if c := s.upgraded(""); c != nil {
			c.SetWriteDeadline(time.Now().Add(patience))
			c.Write([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 0, 0, 0})
			c.Write(large)
			s.wait(50 * time.Millisecond)
		}
	}, 8},
	{"polling sessions that are owed refusals", func(s *siege) {
		path := s.opened()
		if path == "" {
			return
		}
		s.ask("POST", path, strings.NewReader("40"))
		for range 19 {
			if status, _ := s.ask("POST", path, strings.NewReader(strings.Repeat("421"+number+"\x1e", 1000)+unheard)); status != http.StatusOK {
				return
			}
		}
	}, 8},
	{"idle connections", func(s *siege) {
		if c := s.dialed(); c != nil {
			fmt.Fprint(c, get("/health", ""))
		}
		s.wait(5 * time.Millisecond)
	}, 4},
	{"idle sessions over polling", func(s *siege) {
		s.opened()
		s.wait(5 * time.Millisecond)
	}, 4},
	{"idle sessions over WebSocket that ask for a seat", func(s *siege) {
		if c := s.upgraded(""); c != nil {
			c.Write(frame(0x81, []byte("40")))
			go io.Copy(io.Discard, c)
		}
		s.wait(5 * time.Millisecond)
	}, 4},
	{"headers that are never finished", func(s *siege) {
		if c := s.dialed(); c != nil {
			fmt.Fprintf(c, "GET / HTTP/1.1\r\nX: %s", strings.Repeat("x", 7000))
		}
		s.wait(5 * time.Millisecond)
	}, 4},
	{"broken packets without end", func(s *siege) {
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
	{"300 readers of the stream from its beginning", func(s *siege) {
		if c := s.dialed(); c != nil {
			fmt.Fprint(c, get("/events?after=0", ""))
			go io.Copy(io.Discard, c)
		}
		s.wait(200 * time.Millisecond)
	}, 2},
	{"CONNECT and DISCONNECT without end", func(s *siege) {
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
	{"messages of 990 kB, and compressed ones", func(s *siege) {
		dialer := websocket.Dialer{EnableCompression: true, HandshakeTimeout: patience}
		conn, _, err := dialer.Dial("ws://"+s.addr+overWS, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for range 10 {
			conn.SetWriteDeadline(time.Now().Add(patience))
			if conn.WriteMessage(websocket.TextMessage, large) != nil {
				return
			}
			s.wait(20 * time.Millisecond)
		}
	}, 4},
}

// maxMemory is what the server may use, as the manifests have it.
const maxMemory = 100 << 20

// attackTime is how long each attack goes on. A short heartbeat ends what it has
// left sooner. In a soak it is a minute, with the heartbeat that servers have.
var attackTime, heartbeat = func() (time.Duration, string) {
	if os.Getenv("SOAK") != "" {
		return time.Minute, "25s/20s"
	}
	return time.Second, "2s/2s"
}()

// soaking tells that the machine has nothing else to do, so that rates and memory
// can be compared.
var soaking = os.Getenv("SOAK") != ""

// Each attack is tried alone, at full strength, on a server of its own, beside two
// honest clients that count at 10 ms.
func TestAttacks(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the memory of a process is read from /proc")
	}
	table := results.New(t, "attacks", "what is done", "times", "numbers in a second before", "meanwhile", "memory at most", "memory afterwards")
	for _, attack := range attacks {
		t.Run(strings.ReplaceAll(attack.name, " ", "_"), func(t *testing.T) {
			if !soaking {
				t.Parallel()
			}
			server := subject.ReleasedServer(t, "-heartbeat", heartbeat)
			honest := []*subject.Program{
				subject.Go.Start(t, server.URL, 10*time.Millisecond, math.MaxInt32),
				subject.Go.Start(t, server.URL, 10*time.Millisecond, math.MaxInt32),
			}
			lines := func() int64 {
				n, bad, err := numbersfile.Verify(filepath.Join(server.Dir, numbersfile.Name))
				if bad != nil || err != nil {
					t.Fatalf("numbers.txt: %v, %v", bad, err)
				}
				return n
			}
			rate := func(during func()) float64 {
				from, began := lines(), time.Now()
				during()
				return float64(lines()-from) / time.Since(began).Seconds()
			}
			waitFor(t, "the count to begin", func() bool { return lines() > 20 })
			calm := rate(func() { time.Sleep(max(time.Second, attackTime/10)) })
			atRest := server.Memory(t)

			over := make(chan struct{})
			s := &siege{attacker: attacker{t, strings.TrimPrefix(server.URL, "http://")}, over: over}
			defer s.release()
			var times, most atomic.Int64
			meanwhile := rate(func() {
				var workers sync.WaitGroup
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
				close(over)
				workers.Wait()
			})
			s.release()
			client.CloseIdleConnections()
			undisturbed(t, honest)
			if soaking && meanwhile < calm/2 || meanwhile == 0 {
				t.Errorf("%.0f numbers a second were counted meanwhile, %.0f before", meanwhile, calm)
			}
			if most.Load() > maxMemory {
				t.Errorf("the server used %d MB", most.Load()>>20)
			}
			waitFor(t, "the sessions to end", func() bool { return measure(t, server.URL).sessions <= 2 })
			after := server.Memory(t)
			for deadline := time.Now().Add(5 * time.Minute); soaking && after > atRest+10<<20 && time.Now().Before(deadline); after = server.Memory(t) {
				time.Sleep(time.Second) // it is given back to the system slowly
			}
			if soaking && after > atRest+10<<20 {
				t.Errorf("the server uses %d MB afterwards, and %d MB before", after>>20, atRest>>20)
			}
			table.Row(attack.name, times.Load(), fmt.Sprintf("%.0f", calm), fmt.Sprintf("%.0f", meanwhile), megabytes(int(most.Load())), megabytes(after))
		})
	}
}

func megabytes(bytes int) string { return strconv.FormatFloat(float64(bytes)/1e6, 'f', 1, 64) + " MB" }
