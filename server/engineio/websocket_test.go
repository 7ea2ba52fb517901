package engineio

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
	s := start(t, Options{})
	r := httptest.NewRequest("GET", "/?EIO=4&transport=websocket", nil) // without a key
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	s.ServeHTTP(httptest.NewRecorder(), r)
	waitFor(t, "the session to end", func() bool { return s.Sessions() == 0 })
	if n := s.open.Load(); n != 0 {
		t.Errorf("%d handlers were made for it", n)
	}
}
