package hostile

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/compat-tests/results"

	"github.com/gorilla/websocket"
)

// connects are ways to connect and disconnect.
var connects = []struct {
	name string
	do   func(a attacker)
}{
	{"a WebSocket that is cut", func(a attacker) { a.join(false).NetConn().Close() }},
	{"a WebSocket that joins and is cut", func(a attacker) { a.join(true).NetConn().Close() }},
	{"a WebSocket that joins and closes", func(a attacker) {
		conn := a.join(true)
		conn.WriteControl(websocket.CloseMessage, nil, time.Now().Add(timeout))
		conn.Close()
	}},
	{"a WebSocket that joins and leaves by CLOSE", func(a attacker) {
		conn := a.join(true)
		conn.WriteMessage(websocket.TextMessage, []byte("1"))
		conn.Close()
	}},
	{"a WebSocket that joins and leaves by DISCONNECT", func(a attacker) {
		conn := a.join(true)
		conn.WriteMessage(websocket.TextMessage, []byte("41"))
		conn.Close()
	}},
	{"polling that joins and leaves by CLOSE", func(a attacker) {
		path := a.open()
		a.request("POST", path, strings.NewReader("40"))
		a.request("POST", path, strings.NewReader("1"))
	}},
	{"polling that is upgraded and cut", func(a attacker) {
		path := strings.Replace(a.open(), "polling", "websocket", 1)
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+a.addr+path, nil)
		if err != nil {
			a.t.Error(err)
			return
		}
		defer conn.NetConn().Close()
		conn.WriteMessage(websocket.TextMessage, []byte("2probe"))
		conn.ReadMessage()
		conn.WriteMessage(websocket.TextMessage, []byte("5"))
		conn.WriteMessage(websocket.TextMessage, []byte("40"))
	}},
}

// join opens a session over WebSocket. If ask is true it joins the namespace.
func (a attacker) join(ask bool) *websocket.Conn {
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+a.addr+webSocketPath, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	if ask {
		conn.WriteMessage(websocket.TextMessage, []byte("40"))
	}
	return conn
}

func TestClientsThatLeaveReleaseEverything(t *testing.T) {
	t.Parallel()
	times := 3500
	if harness.Soak() {
		times = 100_000
	}
	server := harness.GoServer(t)
	a := newAttacker(t, server)
	connectAll := func(times int) {
		var next atomic.Int64
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for {
					n := int(next.Add(1))
					if n > times || t.Failed() {
						return
					}
					connects[n%len(connects)].do(a)
				}
			})
		}
		all.Wait()
	}
	gone := func() bool { return measure(t, server.URL).sessions == 0 }
	connectAll(500) // the server allocates some things once
	harness.WaitFor(t, "the first sessions to end", gone)
	before := measure(t, server.URL)
	connectAll(times)
	var after usage
	t.Cleanup(func() { t.Logf("used before: %+v, and after: %+v", before, after) })
	harness.WaitFor(t, "the resources to be released", func() bool {
		after = measure(t, server.URL)
		return after.sessions == 0 && after.goroutines <= before.goroutines+5 && after.files <= before.files+5 && after.heap <= before.heap+10<<20
	})
	table := results.New(t, "leaks", "connects", "goroutines before", "after", "open files before", "after", "heap before", "after")
	table.Row(times, before.goroutines, after.goroutines, before.files, after.files, fmt.Sprintf("%.1f MB", float64(before.heap)/1e6), fmt.Sprintf("%.1f MB", float64(after.heap)/1e6))
}
