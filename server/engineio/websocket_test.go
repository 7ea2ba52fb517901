package engineio

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"
)

// Messages of all lengths are sent as they were received, over both transports.
func TestMessagesOfAllLengthsAreSent(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	conn := s.dial("")
	expect(t, conn, "0")
	sid := s.opens()
	for _, length := range []int{0, 1, 124, 125, 126, 1<<16 - 1, 1 << 16, 1<<16 + 1, 200_000} {
		text := strings.Repeat("x", length)
		for kind, message := range map[int]string{websocket.TextMessage: "4" + text, websocket.BinaryMessage: text} {
			if err := conn.WriteMessage(kind, []byte(message)); err != nil {
				t.Fatal(err)
			}
			gotKind, got, err := conn.ReadMessage()
			if err != nil || gotKind != kind || string(got) != message {
				t.Fatalf("of %d bytes of type %d, %d of type %d come back, %v", len(message), kind, len(got), gotKind, err)
			}
		}
		s.request("POST", sid, "4"+text)
		if _, got := s.request("GET", sid, ""); got != "4"+text {
			t.Errorf("of %d bytes %d are polled", length+1, len(got))
		}
	}
	waitFor(t, "what was sent to be counted no more", func() bool {
		s.Server.mu.Lock()
		defer s.Server.mu.Unlock()
		var cost int64
		for _, session := range s.sessions {
			session.mu.Lock()
			cost += session.cost
			session.mu.Unlock()
		}
		return cost == 0
	})
}

// A WebSocket for a session that has one already is refused in words.
func TestASessionIsUpgradedOnce(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	sid := s.opens()
	conn := s.dial(sid)
	write(t, conn, "2probe")
	expect(t, conn, "3probe")
	write(t, conn, "5")
	write(t, conn, "4x")
	expect(t, conn, "4x")
	_, response, err := websocket.DefaultDialer.Dial(strings.Replace(s.url, "http", "ws", 1)+"/?EIO=4&transport=websocket"+sid, nil)
	if err == nil || response == nil {
		t.Fatalf("it is upgraded twice, or there is no answer: %v", err)
	}
	text, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusBadRequest || string(text) != `"the session has been upgraded already"` {
		t.Errorf("it is answered %d, %s", response.StatusCode, text)
	}
	write(t, conn, "4y")
	expect(t, conn, "4y")
	if status, text := s.request("GET", sid, ""); status != http.StatusBadRequest || text != `"Invalid session"` {
		t.Errorf("a poll is answered %d, %s", status, text)
	}
}

// What the client sends in control frames is answered, and a close frame ends the session.
func TestControlFrames(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	conn := s.dial("")
	expect(t, conn, "0")
	pongs := make(chan string, 1)
	conn.SetPongHandler(func(text string) error {
		pongs <- text
		return nil
	})
	if err := conn.WriteMessage(websocket.PingMessage, []byte("are you there?")); err != nil {
		t.Fatal(err)
	}
	write(t, conn, "4x")
	expect(t, conn, "4x")
	if text := <-pongs; text != "are you there?" {
		t.Errorf("the pong is %q", text)
	}
	if err := conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")); err != nil {
		t.Fatal(err)
	}
	_, _, err := conn.ReadMessage()
	if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("it ends with %v", err)
	}
	waitFor(t, "the session to end", func() bool { return s.open.Load() == 0 && s.Sessions() == 0 })
}

// What the server sends to a session that it has ended does not arrive, and what it has
// sent before does.
func TestNothingIsSentAfterTheEnd(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	conn := s.dial("")
	expect(t, conn, "0")
	s.Server.mu.Lock()
	var session *Session
	for _, session = range s.sessions {
	}
	s.Server.mu.Unlock()
	session.Cork()
	session.Send("before")
	session.Close("it is enough")
	waitFor(t, "the session to end", func() bool { return s.open.Load() == 0 })
	session.Send("after")
	session.Uncork()
	expect(t, conn, "4before")
	expectClosed(t, conn)
	if _, sending := s.Usage(); sending != 0 {
		t.Errorf("%d bytes are still counted", sending)
	}
}

// Sessions of which the client has not received everything are pending.
func TestPending(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for i := range 3 {
		client, end := net.Pipe()
		defer client.Close()
		session := &Session{server: s.Server, id: fmt.Sprint(i)}
		session.conn = &conn{session: session, net: end}
		s.Server.mu.Lock()
		s.sessions[session.id] = session
		s.Server.mu.Unlock()
		if n := s.Pending(); n != i {
			t.Errorf("%d sessions are pending, want %d", n, i)
		}
		session.Send("x") // waits for the client to read
		defer func() {
			io.ReadFull(client, make([]byte, len("..4x")))
			waitFor(t, "it to be written", func() bool { return s.Pending() == i })
		}()
	}
	s.opened(s.opens()).Send("x") // over polling
	dead := s.opened(s.opens())
	dead.Send("x")
	dead.mu.Lock()
	dead.conn = &conn{session: dead, dead: true}
	dead.mu.Unlock()
	if n := s.Pending(); n != 3 {
		t.Errorf("%d sessions are pending, want 3", n)
	}
}

// Frames are encoded as gobwas/ws encodes them.
func TestAppendFrame(t *testing.T) {
	t.Parallel()
	for _, length := range []int{0, 1, 125, 126, 1<<16 - 1, 1 << 16, 1<<16 + 1} {
		data := strings.Repeat("x", length)
		for _, op := range []ws.OpCode{ws.OpText, ws.OpBinary, ws.OpPong} {
			want := ws.MustCompileFrame(ws.NewFrame(op, true, []byte(data)))
			if got := appendFrame([]byte("before"), op, data); string(got) != "before"+string(want) {
				t.Errorf("%d bytes of type %v are encoded with the header %x", length, op, got[6:len(got)-length])
			}
		}
	}
}

// A session that begins on a WebSocket is not offered an upgrade.
func TestTheHandshakeOfAWebSocket(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	_, got, err := s.dial("").ReadMessage()
	if err != nil || !strings.HasSuffix(string(got), `","upgrades":[],"pingTimeout":20000,"pingInterval":25000,"maxPayload":1000000}`) {
		t.Errorf("it begins with %s, %v", got, err)
	}
}

// A session of which the WebSocket cannot be opened ends, and has no handler.
func TestAHandshakeThatFails(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	s := start(t, Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	r := httptest.NewRequest("GET", "/?EIO=4&transport=websocket", nil) // without a key
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	s.ServeHTTP(httptest.NewRecorder(), r)
	waitFor(t, "the session to end", func() bool { return s.Sessions() == 0 })
	if n := s.open.Load(); n != 0 {
		t.Errorf("%d handlers were made for it", n)
	}
	if !strings.Contains(log.String(), `msg="refused a WebSocket: `) || !strings.Contains(log.String(), "address=192.0.2.1") {
		t.Errorf("the log has\n%s", &log)
	}
}

// A request asks for a WebSocket with both headers.
func TestIsUpgrade(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		connection []string
		upgrade    string
		want       bool
	}{
		{[]string{"Upgrade"}, "websocket", true},
		{[]string{"keep-alive, upgrade"}, "WebSocket", true},
		{[]string{"keep-alive", "x,UPGRADE "}, "websocket", true},
		{[]string{"keep-alive"}, "websocket", false},
		{[]string{"upgrades"}, "websocket", false},
		{nil, "websocket", false},
		{[]string{"Upgrade"}, "h2c", false},
		{[]string{"Upgrade"}, "", false},
	} {
		r := &http.Request{Header: http.Header{"Connection": tt.connection, "Upgrade": {tt.upgrade}}}
		if got := isUpgrade(r); got != tt.want {
			t.Errorf("%q, %q: %t", tt.connection, tt.upgrade, got)
		}
	}
}

// hijacked is a ResponseWriter of which the connection can be taken over.
type hijacked struct {
	http.ResponseWriter
	scripted
	deadlines []time.Time
	written   []int // of each write, how many deadlines were set before
	cleared   bool  // the last deadline for reading and writing is none
	closed    bool
}

func (h *hijacked) Header() http.Header { return h.ResponseWriter.Header() }

func (h *hijacked) Write(b []byte) (int, error) {
	h.written = append(h.written, len(h.deadlines))
	return len(b), nil
}

func (h *hijacked) Close() error {
	h.closed = true
	return nil
}

func (h *hijacked) SetDeadline(t time.Time) error {
	h.cleared = t.IsZero()
	return h.SetWriteDeadline(t)
}

func (h *hijacked) SetWriteDeadline(t time.Time) error {
	h.deadlines = append(h.deadlines, t)
	return nil
}

func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h, bufio.NewReadWriter(bufio.NewReader(h), bufio.NewWriter(h)), nil
}

// A WebSocket has none of the deadlines of its request, and a connection on which it
// cannot be opened is closed.
func TestTheConnectionOfAWebSocket(t *testing.T) {
	t.Parallel()
	for version, opened := range map[string]bool{"13": true, "12": false} {
		r := httptest.NewRequest("GET", "/", nil)
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": version, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
			r.Header.Set(name, value)
		}
		h := &hijacked{ResponseWriter: httptest.NewRecorder()}
		s := &Session{server: start(t, Options{}).Server}
		c := s.accept(h, r)
		if (c != nil) != opened || h.closed == opened {
			t.Errorf("version %s: it is opened: %t, closed: %t", version, c != nil, h.closed)
		}
		if n := len(h.deadlines); opened && (n == 0 || !h.deadlines[n-1].IsZero() || !h.cleared) {
			t.Errorf("its deadlines are %v; cleared: %t", h.deadlines, h.cleared)
		}
	}
}

// Messages that came together are answered together, in one write.
func TestMessagesThatCameTogether(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	session := s.opened(s.opens())
	client, end := net.Pipe()
	defer client.Close()
	c := &conn{session: session, net: end}
	c.in.conn = end
	session.attach(c)
	go c.serve()
	received := make([]byte, 1000)
	for _, texts := range []string{"a", "abc", "ab", "a", "abcd"} {
		var sent, want string
		for _, text := range texts {
			sent += frame(ws.OpText, true, "4"+string(text))
			want += "\x81\x024" + string(text)
		}
		if _, err := io.WriteString(client, sent); err != nil {
			t.Fatal(err)
		}
		n, err := client.Read(received)
		if string(received[:n]) != want || err != nil {
			t.Errorf("after %d messages, %q comes in the first write, %v", len(texts), received[:n], err)
		}
		waitFor(t, "the end of the write", func() bool { return !session.pending() })
	}
}

// As in python-engineio, packets that clients may not send are ignored over WebSocket, and
// what is not a packet ends the session.
func TestTextOverWebSocket(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for text, answer := range map[string]string{
		"0x": "4x", "9": "4x", "7": "4x",
		"bAAE=": "\x00\x01",
		"":      "", "/": "", ":": "", "x": "", "bA": "",
	} {
		conn := s.dial("")
		expect(t, conn, "0")
		write(t, conn, text)
		if answer == "" {
			expectClosed(t, conn)
			continue
		}
		write(t, conn, "4x")
		_, got, err := conn.ReadMessage()
		if string(got) != answer || err != nil {
			t.Errorf("after %q, %q comes, %v", text, got, err)
		}
	}
}

// What the kernel does not accept is written in time, with no deadline for what follows.
func TestTheTimeForAWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := new(hijacked)
		s := overWebSocket(h)
		s.Send("x")
		synctest.Wait()
		want := []time.Time{time.Now().Add(writeTimeout), {}}
		if !slices.EqualFunc(h.deadlines, want, time.Time.Equal) || !slices.Equal(h.written, []int{1}) {
			t.Errorf("the deadlines are %v, and %v were set before the writes", h.deadlines, h.written)
		}
	})
}

// What is sent while the client does not read waits, is counted, and follows in one write.
// A connection that fails is closed.
func TestWritesOfASlowClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, end := net.Pipe()
		s := overWebSocket(end)
		sending := s.server.sending
		long := strings.Repeat("x", 10_000)
		for _, text := range []string{long, "a", "b"} {
			s.Send(text)
			synctest.Wait()
		}
		if n := sending.inUse(); n != 10_000+1+2*2+3*packetOverhead-allowance {
			t.Errorf("%d bytes are counted", n)
		}
		received := make([]byte, 20_000)
		for _, want := range []string{"\x81\x7e\x27\x114" + long, "\x81\x024a\x81\x024b"} {
			n, err := client.Read(received)
			if got := string(received[:n]); got != want || err != nil {
				t.Errorf("%.20q comes, %d bytes, %v", got, n, err)
			}
			synctest.Wait()
		}
		if n := sending.inUse(); n != 0 || s.cost != 0 || s.pending() {
			t.Errorf("when all is written, %d bytes are counted, for the session %d; pending: %t", n, s.cost, s.pending())
		}
		s.Send("c")
		synctest.Wait()
		s.Send(long)
		client.Close()
		synctest.Wait()
		if _, err := end.Write([]byte("x")); !s.conn.dead || err == nil || s.cost != 0 || len(s.queue) > 0 {
			t.Errorf("the connection is closed: %t, %v; %d bytes are counted, and %d packets queued", s.conn.dead, err, s.cost, len(s.queue))
		}
	})
}
