package wire

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// What is queued arrives, and what is sent is received, frame by frame.
func TestEcho(t *testing.T) {
	t.Parallel()
	var upgrader websocket.Upgrader
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		ws.WriteMessage(websocket.PingMessage, []byte("p"))
		for {
			_, text, err := ws.ReadMessage()
			if err != nil {
				return
			}
			ws.WriteMessage(websocket.TextMessage, append(text, strings.Repeat("x", 200)...))
		}
	}))
	t.Cleanup(server.Close)
	c, err := Dial(strings.TrimPrefix(server.URL, "http://"), "/", 1024, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Queue([]byte("one"))
	c.Queue([]byte("two"))
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		opcode byte
		text   string
	}{{Ping, "p"}, {Text, "one" + strings.Repeat("x", 200)}, {Text, "two" + strings.Repeat("x", 200)}} {
		opcode, payload, err := c.Next()
		if err != nil || opcode != want.opcode || string(payload) != want.text {
			t.Errorf("received opcode %d, %q, %v; want %d, %q", opcode, payload, err, want.opcode, want.text)
		}
	}
	if n := c.Buffered(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
}

// A response other than a WebSocket, and a frame that is too large, are errors.
func TestErrors(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	if _, err := Dial(strings.TrimPrefix(plain.URL, "http://"), "/", 1024, time.Minute); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("the error is %v", err)
	}
	var upgrader websocket.Upgrader
	large := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ws, err := upgrader.Upgrade(w, r, nil); err == nil {
			ws.WriteMessage(websocket.TextMessage, make([]byte, 2000))
			ws.Close()
		}
	}))
	t.Cleanup(large.Close)
	c, err := Dial(strings.TrimPrefix(large.URL, "http://"), "/", 1024, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := c.Next(); err == nil || !strings.Contains(err.Error(), "length 2000") {
		t.Errorf("the error is %v", err)
	}
}
