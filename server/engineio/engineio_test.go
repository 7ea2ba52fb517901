package engineio

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

const timeout = 20 * time.Second

// recorder is a Handler that echoes messages, and records its calls.
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

func (r recorder) Heartbeat() { r.server.heartbeats.Add(1) }

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
	return startWith(t, o, func(r recorder) Handler { return r })
}

// startWith starts a server with a handler that uses the recorder.
func startWith(t testing.TB, o Options, handler func(recorder) Handler) *testServer {
	t.Helper()
	s := &testServer{t: t, limits: make(map[Limit]int)}
	o.OnLimit = func(l Limit) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.limits[l]++
	}
	s.Server = New(func(session *Session) Handler {
		s.open.Add(1)
		return handler(recorder{session, s})
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

// opened returns the session that a query of opens names.
func (s *testServer) opened(query string) *Session {
	session, _ := s.session(strings.TrimPrefix(query, "&sid="))
	return session
}

// waitForPoll waits until a poll of the session waits.
func waitForPoll(t testing.TB, session *Session) {
	t.Helper()
	waitFor(t, "a poll to wait", func() bool {
		session.mu.Lock()
		defer session.mu.Unlock()
		return session.waiting != nil
	})
}

// overWebSocket returns a session without a handler of which c is the WebSocket. Writes do
// not avoid waiting.
func overWebSocket(c net.Conn) *Session {
	s := &Session{server: &Server{options: Options{OnLimit: func(Limit) {}}, sending: newBudget(0, 0)}}
	s.conn = &conn{session: s, net: c}
	return s
}

func (s *testServer) dial(query string) *websocket.Conn {
	s.t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial(strings.Replace(s.url, "http", "ws", 1)+"/?EIO=4&transport=websocket"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(timeout))
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
			t.Fatalf("received %q, %v, want %q", got, err, head)
		}
	}
}

func expectClosed(t testing.TB, conn *websocket.Conn) {
	t.Helper()
	for {
		if _, got, err := conn.ReadMessage(); err != nil {
			return
		} else if string(got) != "2" {
			t.Fatalf("received %q, want the end", got)
		}
	}
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v, still waiting for %s", timeout, what)
		}
	}
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
		if n := s.heartbeats.Load(); n != 3 {
			t.Errorf("the handler is called for %d of them", n)
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

// A session is ended once, and Close is the last call of its handler.
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

// After a session has ended with no request waiting, its next request is answered 500,
// and later ones as if it had never existed, as recorded from the original.
func TestASessionThatHasEndedIsAnswered500Once(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for last, answer := range map[string]string{"1": "OK", "9": `"Bad Request"`} {
		sid := s.opens()
		if _, text := s.request("POST", sid, last); text != answer {
			t.Errorf("%q is answered %q", last, text)
		}
		for i, want := range []int{500, 400, 400} {
			if status, _ := s.request("GET", sid, ""); status != want {
				t.Errorf("after %q request %d is answered %d, want %d", last, i+1, status, want)
			}
		}
	}
}

// A request that arrives while the session ends reports the end, too: at any moment before
// or after the session is removed, only one request does.
func TestTheEndOfASessionIsReportedOnce(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for _, removed := range []bool{false, true} {
		sid := s.opens()
		session := s.opened(sid)
		session.markPosted()
		session.beginEnd()
		if removed {
			session.finish("the client left", true)
		}
		w := httptest.NewRecorder()
		session.poll(w, httptest.NewRequest("GET", "/", nil), "")
		if w.Code != 400 {
			t.Errorf("removed %t: while it ends, a request is answered %d", removed, w.Code)
		}
		if !removed {
			session.finish("the client left", true)
		}
		if status, _ := s.request("GET", sid, ""); status != 400 {
			t.Errorf("removed %t: the next request is answered %d", removed, status)
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

// The next request of a session that has ended is known, of the last 256 that have.
func TestTombstones(t *testing.T) {
	t.Parallel()
	var ended tombstones
	if ended.take("x") {
		t.Error("a session that never was has ended")
	}
	const most = len(ended.ring)
	ids := make([]string, 2*most+3)
	for i := range ids {
		ids[i] = newID()
		ended.add(ids[i])
		if len(ended.ids) > most {
			t.Fatalf("%d are kept", len(ended.ids))
		}
	}
	for i, id := range ids {
		if got, want := ended.take(id), i >= len(ids)-most; got != want {
			t.Errorf("session %d of %d is known: %v", i, len(ids), got)
		}
		if ended.take(id) {
			t.Errorf("session %d is known twice", i)
		}
	}
}
