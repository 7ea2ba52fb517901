package socketio_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"counting/server/engineio"
	"counting/server/socketio"

	"github.com/gorilla/websocket"
)

// Of a packet whose attachments do not arrive, only the bytes of the attachments that
// did arrive were counted: neither its text nor empty attachments.
func TestIncompletePacketsAreCounted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		text        string
		attachments int
		least       int64
	}{
		{"a long text", `452-["x","` + strings.Repeat("a", 900_000) + `"]`, 0, 890_000},
		{"many arguments", `452-["x"` + strings.Repeat(",1", 1000) + `]`, 0, 29_000},
		{"many empty attachments", `4565535-["x"]`, 10_000, 240_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			app := socketio.New(map[string]socketio.Handler{"/": chat{}}, engineio.Options{Limits: engineio.Limits{Receiving: 8 << 20}})
			t.Cleanup(app.Close)
			server := httptest.NewServer(app)
			t.Cleanup(server.Close)
			conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/socket.io/?EIO=4&transport=websocket", nil)
			if err != nil {
				t.Fatal(err)
			}
			c := client{t, conn}
			c.expect(`0{`)
			c.send(tt.text)
			for range tt.attachments {
				c.send([]byte{})
			}
			c.send("5")
			c.expect("6") // what was sent before has been handled
			if receiving, _ := app.Usage(); receiving < tt.least {
				t.Errorf("%d bytes are counted as being received, want at least %d", receiving, tt.least)
			}
			conn.Close()
			waitUntil(t, "all to be given back", func() bool {
				receiving, sending := app.Usage()
				return receiving+sending == 0 && app.Sessions() == 0
			})
		})
	}
}

// Half a million arguments took 20 MB, and longer to collect than other packets of
// that size.
func TestAnEventHasABoundOfArguments(t *testing.T) {
	t.Parallel()
	arguments := func(n int) string { return strings.Repeat(",1", n) + "]" }
	c := dial(t)
	c.send("40")
	c.expect("40", "42")
	for _, event := range []string{`421["message"`, `43["message"`} {
		c.send(event+arguments(490_000), event+arguments(1001), "5")
		c.expect("6")
	}
	c.send(`421["message-with-ack"` + arguments(1000))
	c.expect(`431[1,1`)
}

func waitUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v, still waiting for %s", timeout, what)
		}
	}
}
