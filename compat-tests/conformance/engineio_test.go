package conformance

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/harness"
)

var engineIO = map[string]func(*testing.T, *harness.Server){
	"handshake/HTTP long-polling/successfully opens a session": func(t *testing.T, s *harness.Server) {
		checkHandshake(t, request(t, answerTimeout, 200, "GET", at(s, "EIO=4&transport=polling"), ""), "websocket")
	},
	"handshake/HTTP long-polling/fails with an invalid 'EIO' query parameter": func(t *testing.T, s *harness.Server) {
		request(t, answerTimeout, 400, "GET", at(s, "transport=polling"), "")
		request(t, answerTimeout, 400, "GET", at(s, "EIO=abc&transport=polling"), "")
	},
	"handshake/HTTP long-polling/fails with an invalid 'transport' query parameter": func(t *testing.T, s *harness.Server) {
		if body := request(t, answerTimeout, 200, "GET", at(s, "EIO=4"), ""); !strings.HasPrefix(body, `0{"`) {
			t.Errorf("%q is not a handshake", body)
		}
		request(t, answerTimeout, 400, "GET", at(s, "EIO=4&transport=abc"), "")
	},
	"handshake/HTTP long-polling/fails with an invalid request method": func(t *testing.T, s *harness.Server) {
		request(t, answerTimeout, 400, "POST", at(s, "EIO=4&transport=polling"), "")
		request(t, answerTimeout, 405, "PUT", at(s, "EIO=4&transport=polling"), "")
	},

	"handshake/WebSocket/successfully opens a session": func(t *testing.T, s *harness.Server) {
		c := dial(t, s, "EIO=4&transport=websocket")
		_, packet, err := c.conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		checkHandshake(t, string(packet))
	},
	"handshake/WebSocket/fails with an invalid 'EIO' query parameter": func(t *testing.T, s *harness.Server) {
		expectRefused(t, s, "transport=websocket")
		expectRefused(t, s, "EIO=abc&transport=websocket")
	},
	"handshake/WebSocket/fails with an invalid 'transport' query parameter": func(t *testing.T, s *harness.Server) {
		expectRefused(t, s, "EIO=4")
		expectRefused(t, s, "EIO=4&transport=abc")
	},

	"message/HTTP long-polling/sends and receives a payload containing one plain text packet": func(t *testing.T, s *harness.Server) {
		p := joinPolling(t, s)
		p.send(number)
		p.expect(answerTimeout, ack)
	},
	"message/HTTP long-polling/sends and receives a payload containing several plain text packets": func(t *testing.T, s *harness.Server) {
		p := joinPolling(t, s)
		p.send(number, numberAsking("2"), numberAsking("3"))
		p.expect(answerTimeout, ack, `432[]`, `433[]`)
	},
	"message/HTTP long-polling/sends and receives a payload containing plain text and binary packets": func(t *testing.T, s *harness.Server) {
		p := joinPolling(t, s)
		p.send(number, "bAQIDBA==", numberAsking("2"))
		p.expect(answerTimeout, ack, `432[]`)
	},
	"message/HTTP long-polling/closes the session upon invalid packet format": func(t *testing.T, s *harness.Server) {
		p := joinPolling(t, s)
		p.send("abc")
		p.send(number)
		p.expect(answerTimeout, ack)
	},
	"message/HTTP long-polling/closes the session upon duplicate poll requests": func(t *testing.T, s *harness.Server) {
		p := joinPolling(t, s)
		one, other := p.poll(t.Context()), p.poll(t.Context())
		got := []harness.Response{<-one, <-other}
		slices.SortFunc(got, func(a, b harness.Response) int { return a.Status - b.Status })
		if want := (harness.Response{Status: 200, Body: "1"}); got[0] != want || got[1].Status != 400 {
			t.Errorf("two polls at the same time got %v, want %v and a 400", got, want)
		}
		request(t, answerTimeout, 400, "GET", p.url, "")
	},
	"message/HTTP long-polling/closes the session upon cancelled polling request": func(t *testing.T, s *harness.Server) {
		p := joinPolling(t, s)
		harness.WaitFor(t, "a poll to be answered 400", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			got := <-p.poll(ctx)
			if got.Status != 0 && got.Status != 400 {
				t.Fatalf("a poll got %v, after others were cancelled", got)
			}
			return got.Status == 400
		})
	},

	"message/WebSocket/sends and receives a plain text packet": func(t *testing.T, s *harness.Server) {
		c := joinSocket(t, s)
		c.send(number)
		c.expect(answerTimeout, ack)
	},
	"message/WebSocket/sends and receives a binary packet": func(t *testing.T, s *harness.Server) {
		c := joinSocket(t, s)
		c.sendBinary(1, 2, 3, 4)
		c.send(number)
		c.expect(answerTimeout, ack)
	},
	"message/WebSocket/closes the session upon invalid packet format": func(t *testing.T, s *harness.Server) {
		c := openSocket(t, s)
		c.send("abc")
		c.expectClosedBeforePing()
	},

	"heartbeat/HTTP long-polling/sends ping/pong packets": func(t *testing.T, s *harness.Server) {
		p := joinPolling(t, s)
		p.expect(pingTimeout, "2")
		p.send("3", number)
		p.expect(answerTimeout, ack)
	},
	"heartbeat/HTTP long-polling/closes the session upon ping timeout": func(t *testing.T, s *harness.Server) {
		p := joinPolling(t, s)
		s.Prints(t, "Client client1 disconnected.")
		request(t, answerTimeout, 400, "GET", p.url, "")
	},
	"heartbeat/WebSocket/sends ping/pong packets": func(t *testing.T, s *harness.Server) {
		c := joinSocket(t, s)
		c.expect(pingTimeout, "2")
		c.send("3", number)
		c.expect(answerTimeout, ack)
	},
	"heartbeat/WebSocket/closes the session upon ping timeout": func(t *testing.T, s *harness.Server) {
		c := joinSocket(t, s)
		if came := c.expectClosed(sessionTimeout); !slices.Equal(came, []string{"2"}) {
			t.Errorf("received %q before the connection was closed, want a ping", came)
		}
	},

	"close/HTTP long-polling/forcefully closes the session": func(t *testing.T, s *harness.Server) {
		p := openPolling(t, s)
		pending := p.poll(t.Context())
		p.send("1")
		// The poll may be received before or after the packet that closes.
		if got := <-pending; got != (harness.Response{Status: 200, Body: "6"}) && got.Status != 400 && got.Status != 500 { // 500 from the original
			t.Errorf("the poll got %v", got)
		}
		request(t, answerTimeout, 400, "GET", p.url, "")
	},
	"close/WebSocket/forcefully closes the session": func(t *testing.T, s *harness.Server) {
		c := openSocket(t, s)
		c.send("1")
		c.expectClosedBeforePing()
	},

	"upgrade/successfully upgrades from HTTP long-polling to WebSocket": func(t *testing.T, s *harness.Server) {
		p := joinPolling(t, s)
		c := probe(t, s, p)
		if got := request(t, answerTimeout, 200, "GET", p.url, ""); got != "6" {
			t.Errorf("the last poll got %q, want 6", got)
		}
		c.send("5", number)
		c.expect(answerTimeout, ack)
	},
	"upgrade/ignores HTTP requests with same sid after upgrade": func(t *testing.T, s *harness.Server) {
		p := joinPolling(t, s)
		c := probe(t, s, p)
		c.send("5", number)
		c.expect(answerTimeout, ack)
		request(t, answerTimeout, 400, "GET", p.url, "")
		c.send(number)
		c.expect(answerTimeout, ack)
	},
	"upgrade/ignores WebSocket connection with same sid after upgrade": func(t *testing.T, s *harness.Server) {
		p := joinPolling(t, s)
		c := probe(t, s, p)
		c.send("5", number)
		c.expect(answerTimeout, ack)
		expectRefused(t, s, "EIO=4&transport=websocket&sid="+p.sid)
		c.send(number)
		c.expect(answerTimeout, ack)
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
		t.Fatalf("%q is not a handshake", packet)
	}
	if got, want := slices.Sorted(maps.Keys(keys)), []string{"maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"}; !slices.Equal(got, want) {
		t.Errorf("the keys are %q, want %q", got, want)
	}
	if h.Sid == "" || !slices.Equal(h.Upgrades, upgrades) || h.PingInterval != 25000 || h.PingTimeout != 20000 || h.MaxPayload != 1000000 {
		t.Errorf("the handshake is %s", packet)
	}
}

// expectRefused opens a WebSocket that the server must refuse, or close without a
// message.
func expectRefused(t *testing.T, s *harness.Server, query string) {
	t.Helper()
	conn, _, err := dialed(t, s, query)
	if err != nil {
		return
	}
	c := socket{t, conn}
	if came := c.expectClosed(answerTimeout); came != nil {
		t.Errorf("WebSocket %s: received %q", query, came)
	}
}

// probe opens a WebSocket to upgrade a polling session.
func probe(t *testing.T, s *harness.Server, p *poller) socket {
	t.Helper()
	c := dial(t, s, "EIO=4&transport=websocket&sid="+p.sid)
	c.send("2probe")
	c.expect(answerTimeout, "3probe")
	return c
}
