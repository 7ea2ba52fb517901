package conformance

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/subject"
)

var engineIO = map[string]func(*testing.T, *subject.Server){
	"handshake/HTTP long-polling/successfully opens a session": func(t *testing.T, s *subject.Server) {
		checkHandshake(t, request(t, patience, 200, "GET", at(s, "EIO=4&transport=polling"), ""), "websocket")
	},
	"handshake/HTTP long-polling/fails with an invalid 'EIO' query parameter": func(t *testing.T, s *subject.Server) {
		request(t, patience, 400, "GET", at(s, "transport=polling"), "")
		request(t, patience, 400, "GET", at(s, "EIO=abc&transport=polling"), "")
	},
	"handshake/HTTP long-polling/fails with an invalid 'transport' query parameter": func(t *testing.T, s *subject.Server) {
		if body := request(t, patience, 200, "GET", at(s, "EIO=4"), ""); !strings.HasPrefix(body, `0{"`) {
			t.Errorf("%q is no handshake", body)
		}
		request(t, patience, 400, "GET", at(s, "EIO=4&transport=abc"), "")
	},
	"handshake/HTTP long-polling/fails with an invalid request method": func(t *testing.T, s *subject.Server) {
		request(t, patience, 400, "POST", at(s, "EIO=4&transport=polling"), "")
		request(t, patience, 405, "PUT", at(s, "EIO=4&transport=polling"), "")
	},

	"handshake/WebSocket/successfully opens a session": func(t *testing.T, s *subject.Server) {
		c := dial(t, s, "EIO=4&transport=websocket")
		_, packet, err := c.conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		checkHandshake(t, string(packet))
	},
	"handshake/WebSocket/fails with an invalid 'EIO' query parameter": func(t *testing.T, s *subject.Server) {
		expectRefused(t, s, "transport=websocket")
		expectRefused(t, s, "EIO=abc&transport=websocket")
	},
	"handshake/WebSocket/fails with an invalid 'transport' query parameter": func(t *testing.T, s *subject.Server) {
		expectRefused(t, s, "EIO=4")
		expectRefused(t, s, "EIO=4&transport=abc")
	},

	"message/HTTP long-polling/sends and receives a payload containing one plain text packet": func(t *testing.T, s *subject.Server) {
		p := joinPolling(t, s)
		p.send(number)
		p.expect(patience, ack)
	},
	"message/HTTP long-polling/sends and receives a payload containing several plain text packets": func(t *testing.T, s *subject.Server) {
		p := joinPolling(t, s)
		p.send(number, numberAsking("2"), numberAsking("3"))
		p.expect(patience, ack, `432[]`, `433[]`)
	},
	"message/HTTP long-polling/sends and receives a payload containing plain text and binary packets": func(t *testing.T, s *subject.Server) {
		p := joinPolling(t, s)
		p.send(number, "bAQIDBA==", numberAsking("2"))
		p.expect(patience, ack, `432[]`)
	},
	"message/HTTP long-polling/closes the session upon invalid packet format": func(t *testing.T, s *subject.Server) {
		p := joinPolling(t, s)
		p.send("abc")
		p.send(number)
		p.expect(patience, ack)
	},
	"message/HTTP long-polling/closes the session upon duplicate poll requests": func(t *testing.T, s *subject.Server) {
		p := joinPolling(t, s)
		one, other := p.poll(t.Context()), p.poll(t.Context())
		got := []answer{<-one, <-other}
		slices.SortFunc(got, func(a, b answer) int { return a.status - b.status })
		if want := (answer{200, "1"}); got[0] != want || got[1].status != 400 {
			t.Errorf("two polls at once got %v, want %v and a 400", got, want)
		}
		request(t, patience, 400, "GET", p.url, "")
	},
	"message/HTTP long-polling/closes the session upon cancelled polling request": func(t *testing.T, s *subject.Server) {
		p := joinPolling(t, s)
		for deadline := time.Now().Add(patience); ; {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			got := <-p.poll(ctx)
			cancel()
			if got.status == 400 {
				return
			}
			if got.status != 0 || time.Now().After(deadline) {
				t.Fatalf("a poll got %s, after others were cancelled", got)
			}
		}
	},

	"message/WebSocket/sends and receives a plain text packet": func(t *testing.T, s *subject.Server) {
		c := joinSocket(t, s)
		c.send(number)
		c.expect(patience, ack)
	},
	"message/WebSocket/sends and receives a binary packet": func(t *testing.T, s *subject.Server) {
		c := joinSocket(t, s)
		c.sendBinary(1, 2, 3, 4)
		c.send(number)
		c.expect(patience, ack)
	},
	"message/WebSocket/closes the session upon invalid packet format": func(t *testing.T, s *subject.Server) {
		c := openSocket(t, s)
		c.send("abc")
		c.expectClosed(patience)
	},

	"heartbeat/HTTP long-polling/sends ping/pong packets": func(t *testing.T, s *subject.Server) {
		p := joinPolling(t, s)
		p.expect(ping, "2")
		p.send("3", number)
		p.expect(patience, ack)
	},
	"heartbeat/HTTP long-polling/closes the session upon ping timeout": func(t *testing.T, s *subject.Server) {
		p := joinPolling(t, s)
		if !s.Wait(func(output string) bool { return strings.Contains(output, "Client client1 disconnected.") }) {
			t.Fatal("the session did not end")
		}
		request(t, patience, 400, "GET", p.url, "")
	},
	"heartbeat/WebSocket/sends ping/pong packets": func(t *testing.T, s *subject.Server) {
		c := joinSocket(t, s)
		c.expect(ping, "2")
		c.send("3", number)
		c.expect(patience, ack)
	},
	"heartbeat/WebSocket/closes the session upon ping timeout": func(t *testing.T, s *subject.Server) {
		c := joinSocket(t, s)
		if came := c.expectClosed(timeout); !slices.Equal(came, []string{"2"}) {
			t.Errorf("%q came before the connection was closed, want a ping", came)
		}
	},

	"close/HTTP long-polling/forcefully closes the session": func(t *testing.T, s *subject.Server) {
		p := openPolling(t, s)
		pending := p.poll(t.Context())
		p.send("1")
		// The poll may come in before the packet that closes, or after it.
		if got := <-pending; got != (answer{200, "6"}) && got.status != 400 && got.status != 500 { // 500 as on the original
			t.Errorf("the poll got %s", got)
		}
		request(t, patience, 400, "GET", p.url, "")
	},
	"close/WebSocket/forcefully closes the session": func(t *testing.T, s *subject.Server) {
		c := openSocket(t, s)
		c.send("1")
		c.expectClosed(patience)
	},

	"upgrade/successfully upgrades from HTTP long-polling to WebSocket": func(t *testing.T, s *subject.Server) {
		p := joinPolling(t, s)
		c := probe(t, s, p)
		if got := request(t, patience, 200, "GET", p.url, ""); got != "6" {
			t.Errorf("the last poll got %q, want 6", got)
		}
		c.send("5", number)
		c.expect(patience, ack)
	},
	"upgrade/ignores HTTP requests with same sid after upgrade": func(t *testing.T, s *subject.Server) {
		p := joinPolling(t, s)
		c := probe(t, s, p)
		c.send("5", number)
		c.expect(patience, ack)
		request(t, patience, 400, "GET", p.url, "")
		c.send(number)
		c.expect(patience, ack)
	},
	"upgrade/ignores WebSocket connection with same sid after upgrade": func(t *testing.T, s *subject.Server) {
		p := joinPolling(t, s)
		c := probe(t, s, p)
		c.send("5", number)
		c.expect(patience, ack)
		expectRefused(t, s, "EIO=4&transport=websocket&sid="+p.sid)
		c.send(number)
		c.expect(patience, ack)
	},
}

func checkHandshake(t *testing.T, packet string, upgrades ...string) {
	t.Helper()
	var keys map[string]any
	var h struct {
		Sid                                   string
		Upgrades                              []string
		PingInterval, PingTimeout, MaxPayload int
	}
	if !strings.HasPrefix(packet, "0") || json.Unmarshal([]byte(packet[1:]), &keys) != nil || json.Unmarshal([]byte(packet[1:]), &h) != nil {
		t.Fatalf("%q is no handshake", packet)
	}
	if got, want := slices.Sorted(maps.Keys(keys)), []string{"maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"}; !slices.Equal(got, want) {
		t.Errorf("the keys are %q, want %q", got, want)
	}
	if h.Sid == "" || !slices.Equal(h.Upgrades, upgrades) || h.PingInterval != 25000 || h.PingTimeout != 20000 || h.MaxPayload != 1000000 {
		t.Errorf("the handshake is %s", packet)
	}
}

// expectRefused opens a WebSocket that the server has to refuse or to close
// without a word.
func expectRefused(t *testing.T, s *subject.Server, query string) {
	t.Helper()
	conn, _, err := dialed(t, s, query)
	if err != nil {
		return
	}
	c := socket{t, conn}
	if came := c.expectClosed(patience); came != nil {
		t.Errorf("WebSocket %s: %q came", query, came)
	}
}

// probe opens the WebSocket to which a polling session is to be upgraded.
func probe(t *testing.T, s *subject.Server, p *poller) socket {
	t.Helper()
	c := dial(t, s, "EIO=4&transport=websocket&sid="+p.sid)
	c.send("2probe")
	c.expect(patience, "3probe")
	return c
}
