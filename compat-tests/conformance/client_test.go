package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/harness"

	"github.com/gorilla/websocket"
)

// How long a test waits: for an answer, for a ping, which is sent after 25 s, and for
// the end of a session that has been silent for 45 s.
const (
	answerTimeout  = time.Minute
	pingTimeout    = 25*time.Second + answerTimeout
	sessionTimeout = 45*time.Second + answerTimeout
)

// separator stands between the packets of a polling payload.
const separator = "\x1e"

// The official suites use an echo. These tests send a number, which is the next one as
// the seat is client1's and the file is empty, and expect its ack.
var (
	number = numberAsking("1")
	ack    = "431[]"
)

func numberAsking(ackID string) string {
	return "42" + ackID + `["number",{"client_id":"client1","number":1}]`
}

// at returns the URL of a server's Engine.IO, with that query.
func at(s *harness.Server, query string) string { return s.URL + "/socket.io/?" + query }

// request sends a request that must be answered with the status within that time, and
// returns the body.
func request(t *testing.T, within time.Duration, status int, method, url, body string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	got, err := harness.Fetch(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != status {
		t.Fatalf("%s %s %q: %v, want %d", method, url, body, got, status)
	}
	return got.Body
}

// A poller is a session over HTTP long-polling.
type poller struct {
	t    *testing.T
	url  string
	sid  string
	came []string // packets received, and not yet expected
}

func openPolling(t *testing.T, s *harness.Server) *poller {
	t.Helper()
	body := request(t, answerTimeout, 200, "GET", at(s, "EIO=4&transport=polling"), "")
	var handshake struct{ Sid string }
	if body == "" || json.Unmarshal([]byte(body[1:]), &handshake) != nil || handshake.Sid == "" {
		t.Fatalf("the handshake is %q", body)
	}
	return &poller{t: t, sid: handshake.Sid, url: at(s, "EIO=4&transport=polling&sid="+handshake.Sid)}
}

// joinPolling opens a session and connects it to the game.
func joinPolling(t *testing.T, s *harness.Server) *poller {
	t.Helper()
	p := openPolling(t, s)
	p.send("40")
	p.expect(answerTimeout, `40{"sid":"`)
	return p
}

// send posts the packets in one payload.
func (p *poller) send(packets ...string) {
	p.t.Helper()
	request(p.t, answerTimeout, 200, "POST", p.url, strings.Join(packets, separator))
}

// poll polls in a goroutine, until ctx is done. A poll that is cut off has the status 0.
func (p *poller) poll(ctx context.Context) <-chan harness.Response {
	came := make(chan harness.Response, 1)
	go func() {
		got, _ := harness.Fetch(ctx, "GET", p.url, "")
		came <- got
	}()
	return came
}

// expect polls until it has received packets that begin with these heads, in this order.
// Other packets than those that are skipped fail the test.
func (p *poller) expect(within time.Duration, heads ...string) {
	p.t.Helper()
	for _, head := range heads {
		for {
			for len(p.came) == 0 {
				p.came = strings.Split(request(p.t, within, 200, "GET", p.url, ""), separator)
			}
			packet := p.came[0]
			p.came = p.came[1:]
			if strings.HasPrefix(packet, head) {
				break
			}
			if !skipped(packet) {
				p.t.Fatalf("received %q, want %q", packet, head)
			}
		}
	}
}

// A socket is a WebSocket.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
}

func dial(t *testing.T, s *harness.Server, query string) socket {
	t.Helper()
	conn, response, err := dialed(t, s, query)
	if err != nil {
		t.Fatalf("WebSocket %s: %v (%v)", query, err, response)
	}
	return socket{t, conn}
}

func dialed(t *testing.T, s *harness.Server, query string) (*websocket.Conn, *http.Response, error) {
	url := "ws" + strings.TrimPrefix(at(s, query), "http")
	conn, response, err := websocket.DefaultDialer.DialContext(t.Context(), url, nil)
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return conn, response, err
}

// openSocket opens a session over WebSocket.
func openSocket(t *testing.T, s *harness.Server) socket {
	t.Helper()
	c := dial(t, s, "EIO=4&transport=websocket")
	c.expect(answerTimeout, `0{"`)
	return c
}

// joinSocket opens a session and connects it to the game.
func joinSocket(t *testing.T, s *harness.Server) socket {
	t.Helper()
	c := openSocket(t, s)
	c.send("40")
	c.expect(answerTimeout, `40{"sid":"`)
	return c
}

func (c socket) send(packets ...string) {
	c.t.Helper()
	for _, packet := range packets {
		c.write(websocket.TextMessage, []byte(packet))
	}
}

func (c socket) sendBinary(data ...byte) {
	c.t.Helper()
	c.write(websocket.BinaryMessage, data)
}

func (c socket) write(kind int, data []byte) {
	c.t.Helper()
	if err := c.conn.WriteMessage(kind, data); err != nil {
		c.t.Fatalf("send %q: %v", data, err)
	}
}

// expect waits for packets that begin with these heads, in this order. Other packets
// than those that are skipped fail the test.
func (c socket) expect(within time.Duration, heads ...string) {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(within))
	for _, head := range heads {
		for {
			_, packet, err := c.conn.ReadMessage()
			if err != nil {
				c.t.Fatalf("waiting for %q: %v", head, err)
			}
			if strings.HasPrefix(string(packet), head) {
				break
			}
			if !skipped(string(packet)) {
				c.t.Fatalf("received %q, want %q", packet, head)
			}
		}
	}
}

// expectClosed waits until the server closes the connection, and returns what it sent
// before that.
func (c socket) expectClosed(within time.Duration) (came []string) {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(within))
	for {
		_, packet, err := c.conn.ReadMessage()
		var slow net.Error
		if errors.As(err, &slow) && slow.Timeout() {
			c.t.Fatalf("the connection was not closed within %v; received %q", within, came)
		}
		if err != nil {
			return came
		}
		came = append(came, string(packet))
	}
}

// expectClosedBeforePing is expectClosed for a connection that a packet closes, rather than
// the heartbeat, before whose timeout a ping comes.
func (c socket) expectClosedBeforePing() {
	c.t.Helper()
	if came := c.expectClosed(answerTimeout); slices.Contains(came, "2") {
		c.t.Errorf("received %q before the connection was closed, want no ping", came)
	}
}

// skipped reports whether a packet may arrive at any time: the end of a poll without
// packets, and the events that the server broadcasts when a client joins or leaves.
func skipped(packet string) bool {
	return packet == "6" || strings.HasPrefix(packet, `42["`)
}
