package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
)

// broadcaster is a server that sends each message to all clients: "said", then "count",
// and then the ack to the sender. If swapped, it sends "count" first.
func broadcaster(t *testing.T, swapped bool) *httptest.Server {
	t.Helper()
	var mu sync.Mutex
	clients := map[*websocket.Conn]bool{}
	heard, next := 0, 0
	upgrader := websocket.Upgrader{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		say := func(to *websocket.Conn, text string) { _ = to.WriteMessage(websocket.TextMessage, []byte(text)) }
		mu.Lock()
		next++
		say(ws, fmt.Sprintf(`0{"sid":"engine-%p-%d","pingInterval":25000}`, ws, next))
		mu.Unlock()
		for {
			_, data, err := ws.ReadMessage()
			mu.Lock()
			switch text := string(data); {
			case err != nil:
				delete(clients, ws)
			case text == "40":
				clients[ws] = true
				say(ws, fmt.Sprintf(`40{"sid":"socket-%p-%d"}`, ws, next))
			default:
				heard++
				events := []string{`42["said",` + text[strings.IndexByte(text, ',')+1:], `42["count"]`}
				if swapped {
					events[0], events[1] = events[1], events[0]
				}
				for _, e := range events {
					for p := range clients {
						say(p, e)
					}
				}
				say(ws, `431[]`)
			}
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// sayAll runs n clients of a broadcaster, which send a message at the same time.
func sayAll(t *testing.T, url string, n int) {
	t.Helper()
	var all, joined sync.WaitGroup
	joined.Add(n)
	for i := range n {
		all.Go(func() {
			ws, _, err := websocket.DefaultDialer.Dial(strings.Replace(url, "http", "ws", 1)+"/socket.io/?EIO=4&transport=websocket", nil)
			if err != nil {
				t.Error(err)
				joined.Done()
				return
			}
			defer ws.Close()
			_, _, _ = ws.ReadMessage()
			_ = ws.WriteMessage(websocket.TextMessage, []byte("40"))
			_, _, _ = ws.ReadMessage()
			joined.Done()
			joined.Wait()
			_ = ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `421["say","I am %d"]`, i))
			for counted := 0; counted < 2*n+1; counted++ {
				if _, _, err := ws.ReadMessage(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// recordBurst records n clients of a broadcaster, and returns the file. What they say and
// are sent is one burst in it, though a busy machine may have made pauses.
func recordBurst(t *testing.T, n int) (file string) {
	t.Helper()
	s := startRecorder(t, "-target", broadcaster(t, false).URL)
	sayAll(t, s.URL, n)
	r := s.end()
	said := false
	var before, at float64 // of the last line, as recorded and as written
	for i := range r.Lines {
		line := &r.Lines[i]
		gap := line.At - before
		before = line.At
		if said = said || line.Packet != nil && strings.HasPrefix(*line.Packet, "42"); said {
			gap = min(gap, 0.001)
		}
		at += gap
		line.At = at
	}
	var text bytes.Buffer
	if err := errors.Join(r.Write(&text), os.WriteFile(s.out, text.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return s.out
}

// Eight clients at the same time: what each receives comes in any order, and replays show
// no differences.
func TestEightClientsAtOnceAreTheSame(t *testing.T) {
	t.Parallel()
	file := recordBurst(t, 8)
	for range 10 {
		if code, out := tool(t, "replay", "-target", broadcaster(t, false).URL, "-quiet", "100ms", file); code != exitSame {
			t.Errorf("exit code %d: %s", code, out)
		}
	}
}

// The order of what a single client receives is compared.
func TestOneClientAloneIsComparedInOrder(t *testing.T) {
	t.Parallel()
	s := startRecorder(t, "-target", broadcaster(t, false).URL)
	sayAll(t, s.URL, 1)
	s.end()
	if code, out := tool(t, "replay", "-target", broadcaster(t, false).URL, "-quiet", "100ms", s.out); code != exitSame {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out := tool(t, "replay", "-target", broadcaster(t, true).URL, "-quiet", "100ms", s.out); code != exitDifferent || !strings.Contains(out, "in another order") {
		t.Errorf("in reverse order: exit code %d: %s", code, out)
	}
}
