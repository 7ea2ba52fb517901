package engineio

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"
)

const patience = 20 * time.Second

// recorder is a Handler that echoes, and notes what happens.
type recorder struct {
	session *Session
	server  *testServer
}

func (r recorder) Message(data []byte, binary bool) {
	if binary {
		r.session.SendBinary(data)
	} else {
		r.session.Send(string(data))
	}
}
func (r recorder) Heartbeat()   { r.server.heartbeats.Add(1) }
func (r recorder) Close(string) { r.server.open.Add(-1) }

// testServer is a server that echoes.
type testServer struct {
	*Server
	t          testing.TB
	url        string
	open       atomic.Int64 // sessions for which accept was called and Close was not
	heartbeats atomic.Int64
	mu         sync.Mutex
	limits     map[Limit]int
}

func start(t testing.TB, o Options) *testServer {
	t.Helper()
	s := &testServer{t: t, limits: make(map[Limit]int)}
	o.OnLimit = func(l Limit) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.limits[l]++
	}
	s.Server = New(func(session *Session) Handler {
		s.open.Add(1)
		return recorder{session, s}
	}, o)
	h := httptest.NewServer(s)
	s.url = h.URL
	t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
		s.Server.Close()
	})
	return s
}

func (s *testServer) reached(l Limit) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits[l]
}

func (s *testServer) request(method, query, body string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+"/?EIO=4&transport=polling"+query, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

// opens opens a polling session, and returns the query that names it.
func (s *testServer) opens() string {
	s.t.Helper()
	_, text := s.request("GET", "", "")
	_, sid, ok := strings.Cut(text, `"sid":"`)
	if !ok {
		s.t.Fatalf("the handshake answered %q", text)
	}
	return "&sid=" + sid[:20]
}

func (s *testServer) dial(query string) *websocket.Conn {
	s.t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial(strings.Replace(s.url, "http", "ws", 1)+"/?EIO=4&transport=websocket"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(patience))
	return conn
}

func write(t testing.TB, conn *websocket.Conn, packets ...string) {
	t.Helper()
	for _, p := range packets {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
}

func expect(t testing.TB, conn *websocket.Conn, heads ...string) {
	t.Helper()
	for _, head := range heads {
		_, got, err := conn.ReadMessage()
		if err != nil || !strings.HasPrefix(string(got), head) {
			t.Fatalf("%q, %v came in place of %q", got, err, head)
		}
	}
}

func expectClosed(t testing.TB, conn *websocket.Conn) {
	t.Helper()
	for {
		if _, got, err := conn.ReadMessage(); err != nil {
			return
		} else if string(got) != "2" {
			t.Fatalf("%q came in place of the end", got)
		}
	}
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %s", patience, what)
		}
	}
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for _, tt := range []struct {
		name  string
		sends []string
		// ends tells that the WebSocket is closed and the session goes on polling.
		ends bool
	}{
		{"in order", []string{"2probe", "5"}, false},
		{"a PING that is not a probe", []string{"2"}, true},
		{"a PONG", []string{"3probe"}, true},
		{"a message before the probe", []string{"4x"}, true},
		{"UPGRADE without a probe", []string{"5"}, true},
		{"two probes", []string{"2probe", "2probe"}, true},
		{"a message after the probe", []string{"2probe", "4x"}, true},
		{"what is not a packet", []string{"x"}, true},
		{"an empty message", []string{""}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sid := s.opens()
			polled := make(chan string, 1)
			go func() {
				_, text := s.request("GET", sid, "")
				polled <- text
			}()
			waitFor(t, "the poll to wait", func() bool {
				session, _ := s.session(strings.TrimPrefix(sid, "&sid="))
				session.mu.Lock()
				defer session.mu.Unlock()
				return session.waiting != nil
			})
			conn := s.dial(sid)
			write(t, conn, tt.sends...)
			if tt.sends[0] == "2probe" {
				expect(t, conn, "3probe")
			}
			if tt.ends {
				expectClosed(t, conn)
				s.request("POST", sid, "4hello")
				text := <-polled
				for text == "6" {
					_, text = s.request("GET", sid, "")
				}
				if text != "4hello" {
					t.Errorf("the session answers %q, want 4hello", text)
				}
				return
			}
			if text := <-polled; text != "6" {
				t.Errorf("the waiting poll was answered %q, want 6", text)
			}
			write(t, conn, "4hello")
			expect(t, conn, "4hello")
			if status, _ := s.request("GET", sid, ""); status != http.StatusBadRequest {
				t.Errorf("a poll after the upgrade is answered %d", status)
			}
		})
	}
}

// What is sent while the upgrade is being probed arrives after it, in order.
func TestNothingIsLostOrReorderedByAnUpgrade(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	sid := s.opens()
	conn := s.dial(sid)
	write(t, conn, "2probe")
	expect(t, conn, "3probe")
	for i := range 20 {
		s.request("POST", sid, fmt.Sprint("4", i))
		if _, text := s.request("GET", sid, ""); text != "6" {
			t.Fatalf("a poll while the upgrade is probed is answered %q, want 6", text)
		}
	}
	write(t, conn, "5", "4last")
	for i := range 20 {
		expect(t, conn, fmt.Sprint("4", i))
	}
	expect(t, conn, "4last")
}

// A second upgrade harms nobody but itself.
func TestASecondUpgradeIsClosed(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	sid := s.opens()
	first, second := s.dial(sid), s.dial(sid)
	write(t, first, "2probe")
	expect(t, first, "3probe")
	write(t, second, "2probe")
	expectClosed(t, second)
	write(t, first, "5", "4hello")
	expect(t, first, "4hello")
}

// A proxy that passes no upgrade on makes a plain request of it. The session goes
// on by polling, and none of its packets is lost.
func TestAnUpgradeThatAProxyTookAwayIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	sid := s.opens()
	response, err := http.Get(s.url + "/?EIO=4&transport=websocket" + sid)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("it is answered %d", response.StatusCode)
	}
	s.request("POST", sid, "4hello")
	if _, text := s.request("GET", sid, ""); text != "4hello" {
		t.Errorf("the next poll brings %q", text)
	}
}

// A waiting poll and an upgrading WebSocket that were cut together ended the
// process of an earlier server within some thousand rounds. Nothing may be left of
// them either.
func TestPollsAndUpgradesThatAreCutTogether(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	fmt.Sscan(os.Getenv("ROUNDS"), &rounds)
	// A session whose poll was answered in time lives on until its heartbeat ends
	// it, which must not be before its upgrade, however busy the machine is.
	s := start(t, Options{PingInterval: 2 * time.Second, PingTimeout: 3 * time.Second})
	addr := strings.TrimPrefix(s.url, "http://")
	goroutines := runtime.NumGoroutine()
	var workers sync.WaitGroup
	var done atomic.Int64
	for range 8 {
		workers.Go(func() {
			for done.Add(1) <= int64(rounds) {
				cutTogether(t, s, addr)
			}
		})
	}
	workers.Wait()
	waitFor(t, "the sessions to end", func() bool { return s.Sessions() == 0 && s.open.Load() == 0 })
	http.DefaultClient.CloseIdleConnections()
	waitFor(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines+4 })
	s.Server.mu.Lock()
	defer s.Server.mu.Unlock()
	if n := s.pings.queue.Len() + s.pongs.queue.Len() + len(s.slots.address); n != 0 {
		t.Errorf("%d heartbeats and addresses are left", n)
	}
}

// cutTogether opens a session that polls and upgrades, and cuts both connections.
func cutTogether(t testing.TB, s *testServer, addr string) {
	sid := s.opens()
	poll, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	upgrade, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	fmt.Fprintf(poll, "GET /?EIO=4&transport=polling%s HTTP/1.1\r\nHost: x\r\n\r\n", sid)
	fmt.Fprintf(upgrade, "GET /?EIO=4&transport=websocket%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", sid)
	response, err := http.ReadResponse(bufio.NewReader(upgrade), nil)
	if err == nil && response.StatusCode == http.StatusBadRequest {
		poll.Close()
		upgrade.Close()
		return // its heartbeat has ended it, on a machine that is busy
	}
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("the upgrade was answered %v, %v", response, err)
	}
	masked := func(text string) []byte {
		return ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(text))))
	}
	upgrade.Write(masked("2probe"))
	upgrade.Write(masked("5"))
	poll.(*net.TCPConn).SetLinger(0)
	upgrade.(*net.TCPConn).SetLinger(0)
	go poll.Close()
	upgrade.Close()
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	s := start(t, Options{PingInterval: 20 * time.Millisecond, PingTimeout: 500 * time.Millisecond})
	t.Run("a client that answers lives", func(t *testing.T) {
		t.Parallel()
		conn := s.dial("")
		expect(t, conn, "0{")
		for range 5 {
			expect(t, conn, "2")
			write(t, conn, "3")
		}
		write(t, conn, "4hello")
		expect(t, conn, "4hello")
	})
	t.Run("one that does not is ended", func(t *testing.T) {
		t.Parallel()
		conn := s.dial("")
		expect(t, conn, "0{", "2")
		expectClosed(t, conn)
		sid := s.opens()
		waitFor(t, "the session to end", func() bool { status, _ := s.request("POST", sid, "4x"); return status == http.StatusBadRequest })
	})
	t.Run("answers that nobody asked for do not help", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{PingInterval: time.Hour})
		conn := s.dial("")
		expect(t, conn, "0{")
		write(t, conn, "3", "3", "3", "4hello")
		expect(t, conn, "4hello")
		s.Server.mu.Lock()
		defer s.Server.mu.Unlock()
		if s.pings.queue.Len() != 1 || s.pongs.queue.Len() != 0 {
			t.Errorf("%d pings and %d pongs are due", s.pings.queue.Len(), s.pongs.queue.Len())
		}
	})
	t.Run("one that joins nothing is ended", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{PingInterval: 30 * time.Millisecond, JoinTimeout: 50 * time.Millisecond})
		conn := s.dial("")
		expect(t, conn, "0{")
		go func() {
			for conn.WriteMessage(websocket.TextMessage, []byte("3")) == nil {
				time.Sleep(10 * time.Millisecond)
			}
		}()
		expectClosed(t, conn)
	})
}

// Bytes that are received in part, and bytes that nobody takes, are bounded; only
// who goes over the bound is refused or ended.
func TestBudgets(t *testing.T) {
	t.Parallel()
	t.Run("of a body that is not finished", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{Limits: Limits{Receiving: 256 << 10}})
		sid := s.opens()
		var bodies []*io.PipeWriter
		for range 8 {
			reader, writer := io.Pipe()
			bodies = append(bodies, writer)
			go func() {
				response, err := http.Post(s.url+"/?EIO=4"+sid, "text/plain", reader)
				if err == nil {
					response.Body.Close()
				}
			}()
			go writer.Write([]byte(strings.Repeat("4", 100_000)))
		}
		waitFor(t, "some to be refused", func() bool { return s.reached(LimitReceiving) >= 6 })
		if receiving, _ := s.Usage(); receiving > 256<<10 {
			t.Errorf("%d bytes are being received", receiving)
		}
		if status, _ := s.request("POST", sid, "4hello"); status != http.StatusOK {
			t.Errorf("an honest request is answered %d meanwhile", status)
		}
		for _, body := range bodies {
			body.Close()
		}
		waitFor(t, "the bytes to be given back", func() bool { receiving, _ := s.Usage(); return receiving == 0 })
	})
	t.Run("of a message that is not finished", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{Limits: Limits{Receiving: 256 << 10}})
		for range 8 {
			conn := s.dial("")
			conn.NetConn().Write([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 0, 0, 0})
			go conn.NetConn().Write(make([]byte, 100_000))
		}
		waitFor(t, "some to be ended", func() bool { return s.reached(LimitReceiving) >= 6 })
		honest := s.dial("")
		write(t, honest, "4hello")
		expect(t, honest, "0{", "4hello")
	})
	t.Run("of what nobody takes", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{Limits: Limits{Sending: 64 << 10}})
		greedy := []string{s.opens(), s.opens(), s.opens()}
		waitFor(t, "one to be ended", func() bool {
			for _, sid := range greedy {
				s.request("POST", sid, "4"+strings.Repeat("x", 10_000))
			}
			return s.reached(LimitSending) > 0
		})
		if _, sending := s.Usage(); sending > 64<<10 {
			t.Errorf("%d bytes wait to be sent", sending)
		}
		honest := s.opens()
		s.request("POST", honest, "4hello")
		if _, text := s.request("GET", honest, ""); text != "4hello" {
			t.Errorf("an honest session gets %q meanwhile", text)
		}
	})
	t.Run("of packets for one session", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{Limits: Limits{PacketsPerSession: 10}})
		sid := s.opens()
		s.request("POST", sid, "4"+strings.Repeat("x\x1e4", 20))
		waitFor(t, "it to be ended", func() bool { return s.Sessions() == 0 })
		if s.reached(LimitPackets) != 1 {
			t.Errorf("the limits are %v", s.limits)
		}
	})
	t.Run("of a client that does not read its WebSocket", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{Limits: Limits{Sending: 1 << 20}})
		conn := s.dial("")
		go func() { // echoed, and never read
			for conn.WriteMessage(websocket.TextMessage, []byte("4"+strings.Repeat("x", 50_000))) == nil {
			}
		}()
		waitFor(t, "it to be ended", func() bool { return s.Sessions() == 0 })
		waitFor(t, "what waited to be forgotten", func() bool { _, sending := s.Usage(); return sending == 0 })
	})
}

func TestSlots(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Limits: Limits{Sessions: 3}})
	first := s.opens()
	for range 10 {
		s.opens()
	}
	waitFor(t, "the oldest to be gone", func() bool { return s.Sessions() == 3 })
	if status, _ := s.request("POST", first, "4x"); status != http.StatusBadRequest {
		t.Errorf("the oldest session answers %d", status)
	}
	if n := s.reached(LimitAbandoned); n != 8 {
		t.Errorf("%d sessions gave way, want 8", n)
	}
}

// The sessions of one group do not take the slots of all, and those that joined
// nothing give way within each limit that is reached.
func TestSlotsOfGroups(t *testing.T) {
	t.Parallel()
	asked := func(w http.ResponseWriter, r *http.Request, open func(string)) {
		switch group := r.URL.Query().Get("group"); group {
		case "nobody":
			Refuse(w, http.StatusTeapot, "nobody may come", true)
		default:
			open(group)
		}
	}
	s := start(t, Options{Admit: asked, Limits: Limits{Sessions: 6, SessionsPerGroup: 3}})
	open := func(group string) (int, string) { return s.request("GET", "&group="+group, "") }
	expect := func(group string, status int, text string) {
		t.Helper()
		if got, answer := open(group); got != status || !strings.Contains(answer, text) {
			t.Errorf("a session in %q is answered %d %s, want %d", group, got, answer, status)
		}
	}
	for range 10 {
		expect("a", http.StatusOK, `"sid"`) // the oldest gives way
	}
	expect("b", http.StatusOK, `"sid"`)
	waitFor(t, "the sessions that gave way to be gone", func() bool { return s.Sessions() == 4 })
	s.Server.mu.Lock() // now they join
	for _, session := range s.Server.sessions {
		s.Server.slots.setIdle(session, false)
		if g := session.Group(); g != "a" && g != "b" {
			t.Errorf("a session is in the group %q", g)
		}
	}
	s.Server.mu.Unlock()
	expect("a", http.StatusServiceUnavailable, `"too many sessions in \"a\": the limit is 3"`)
	if n := s.reached(LimitSessionsPerGroup); n != 1 {
		t.Errorf("the limit was reached %d times", n)
	}
	for range 5 {
		expect("b", http.StatusOK, `"sid"`)
		expect("c", http.StatusOK, `"sid"`)
	}
	waitFor(t, "the sessions that gave way to be gone", func() bool { return s.Sessions() == 6 })
	expect("nobody", http.StatusTeapot, `"nobody may come"`)
	if _, response, err := websocket.DefaultDialer.Dial(strings.Replace(s.url, "http", "ws", 1)+"/?EIO=4&transport=websocket&group=nobody", nil); err == nil || response.StatusCode != http.StatusTeapot || response.Header.Get("Retry-After") == "" {
		t.Errorf("over WebSocket: %v, %v", response, err)
	}
	s.Server.mu.Lock()
	defer s.Server.mu.Unlock()
	if n := len(s.Server.slots.group); n != 3 {
		t.Errorf("%d groups are kept", n)
	}
}

// A session is ended, and its handler told so, once and last.
func TestCloseIsCalledOnce(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for name, leave := range map[string]func(){
		"CLOSE over polling":   func() { s.request("POST", s.opens(), "1") },
		"CLOSE twice":          func() { s.request("POST", s.opens(), "1\x1e1") },
		"an illegal packet":    func() { s.request("POST", s.opens(), "9\x1e9") },
		"CLOSE over WebSocket": func() { write(t, s.dial(""), "1") },
		"a WebSocket is cut":   func() { s.dial("").Close() },
		"two polls": func() {
			sid := s.opens()
			go s.request("GET", sid, "")
			s.request("GET", sid, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			leave()
			waitFor(t, "it to end", func() bool { return s.open.Load() == 0 && s.Sessions() == 0 })
		})
	}
}

// The next request of a session that ended while none was waiting is answered 500,
// and those after it as if it had never been: recorded on the original.
func TestASessionThatHasEndedIsAnswered500Once(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for _, last := range []string{"1", "9"} {
		sid := s.opens()
		s.request("POST", sid, last)
		for i, want := range []int{500, 400, 400} {
			if status, _ := s.request("GET", sid, ""); status != want {
				t.Errorf("after %q request %d is answered %d, want %d", last, i+1, status, want)
			}
		}
	}
}

func TestPayloads(t *testing.T) {
	t.Parallel()
	s := start(t, Options{MaxPackets: 16})
	for _, tt := range []struct{ name, query, body, answer, echoed string }{
		{"one packet", "", "4a", "OK", "4a"},
		{"several, of both kinds", "", "4a\x1ebAQID\x1e4b", "OK", "4a\x1ebAQID\x1e4b"},
		{"a broken one spoils all", "", "4a\x1ex\x1e4b", "OK", "6"},
		{"an empty one spoils all", "", "4a\x1e\x1e4b", "OK", "6"},
		{"16 packets", "", strings.Repeat("4\x1e", 15) + "4", "OK", strings.Repeat("4\x1e", 15) + "4"},
		{"17 packets are ignored", "", strings.Repeat("4\x1e", 16) + "4", "OK", "6"},
		{"bytes that are not UTF-8", "", "4\xff", "OK", "6"},
		{"nothing", "", "", "OK", "6"},
		{"JSONP", "&j=7", "d=4a%22b", "OK", `___eio[7]("4a\"b");`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sid := s.opens()
			if _, text := s.request("POST", sid+tt.query, tt.body); text != tt.answer {
				t.Errorf("it is answered %q, want %q", text, tt.answer)
			}
			s.request("POST", sid, "5") // is answered by a NOOP
			_, text := s.request("GET", sid+tt.query, "")
			if tt.echoed != "6" && tt.query == "" {
				tt.echoed += "\x1e6"
			}
			if text = strings.Replace(text, "\x1e6\");", "\");", 1); text != tt.echoed && !strings.HasPrefix(tt.echoed, text+"\x1e") {
				t.Errorf("it is echoed as %q, want %q", text, tt.echoed)
			}
		})
	}
}
