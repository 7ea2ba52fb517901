package forwarding

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A WebSocket transfers what each side sends, also directly after its handshake, and
// is closed on both sides when one of them closes it.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	upgrader := websocket.Upgrader{}
	ended := make(chan error, 10)
	p := start(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		c.WriteMessage(websocket.TextMessage, []byte("first"))
		for {
			kind, message, err := c.ReadMessage()
			if err != nil {
				ended <- err
				return
			}
			if string(message) == "die" {
				return
			}
			c.WriteMessage(kind, message)
		}
	}, Options{AnswerTimeout: patience}, 0)
	dial := func() *websocket.Conn {
		t.Helper()
		c, _, err := websocket.DefaultDialer.Dial(strings.Replace(p.url, "http", "ws", 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetReadDeadline(time.Now().Add(patience))
		return c
	}
	c := dial()
	large := strings.Repeat("large ", 100_000)
	if err := c.WriteMessage(websocket.TextMessage, []byte(large)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", large} {
		if _, got, err := c.ReadMessage(); err != nil || string(got) != want {
			t.Fatalf("%.20q came in place of %.20q, %v", got, want, err)
		}
	}
	c.Close()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the owner's WebSocket goes on when the client has left")
	}
	p.ended(t)
	c = dial()
	c.WriteMessage(websocket.TextMessage, []byte("die"))
	c.ReadMessage()
	if _, message, err := c.ReadMessage(); err == nil {
		t.Errorf("%q came when the owner had left", message)
	}
	p.ended(t)

	// A client that sends its first frame with the handshake.
	raw, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	io.WriteString(raw, "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"+
		"\x81\x85\x00\x00\x00\x00early")
	text, in := "", make([]byte, 1024)
	for !strings.HasSuffix(text, "\x81\x05first\x81\x05early") {
		n, err := raw.Read(in)
		if text += string(in[:n]); err != nil {
			t.Fatalf("%v after %q", err, text)
		}
	}
}

// A refused upgrade is answered with the owner's response.
func TestAWebSocketThatIsRefused(t *testing.T) {
	t.Parallel()
	p := start(t, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.Header.Get("Upgrade"), http.StatusBadRequest)
	}, Options{}, 0)
	for _, connection := range []string{"Upgrade", "close"} {
		r, err := http.NewRequest(http.MethodGet, p.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Connection", connection)
		r.Header.Set("Upgrade", "websocket")
		if response, body := do(t, r); response.StatusCode != http.StatusBadRequest || body != "websocket\n" {
			t.Errorf("with Connection: %s it is answered %d %s", connection, response.StatusCode, body)
		}
	}
}
