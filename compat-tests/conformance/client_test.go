package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/subject"

	"github.com/gorilla/websocket"
)

// How long a test waits for what has to come: anything, a ping, which comes
// after 25 s, and the end of a session that has been silent for 45 s.
const (
	patience = 10 * time.Second
	ping     = 25*time.Second + patience
	timeout  = 45*time.Second + patience
)

// separator stands between the packets of a polling payload.
const separator = "\x1e"

// What stands in for the echo that the official suites expect: a number that
// each test may send, because the seat is client1's and the file is empty, and
// the ack that it gets.
var (
	number = numberAsking("1")
	ack    = "431[]"
)

func numberAsking(ackID string) string {
	return "42" + ackID + `["number",{"client_id":"client1","number":1}]`
}

// at is where a server's Engine.IO listens, with that query.
func at(s *subject.Server, query string) string { return s.URL + "/socket.io/?" + query }

// An answer is what came of an HTTP request.
type answer struct {
	status int
	body   string
}

func (a answer) String() string { return fmt.Sprintf("%d %q", a.status, a.body) }

func fetch(ctx context.Context, method, url, body string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, string(text)}, err
}

// request makes a request that has to be answered with that status, in time,
// and returns the body.
func request(t *testing.T, within time.Duration, status int, method, url, body string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	got, err := fetch(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if got.status != status {
		t.Fatalf("%s %s %q: %s, want %d", method, url, body, got, status)
	}
	return got.body
}

// A poller is a session over HTTP long-polling.
type poller struct {
	t    *testing.T
	url  string
	sid  string
	came []string // packets that nobody has asked for yet
}

func openPolling(t *testing.T, s *subject.Server) *poller {
	t.Helper()
	body := request(t, patience, 200, "GET", at(s, "EIO=4&transport=polling"), "")
	var handshake struct{ Sid string }
	if body == "" || json.Unmarshal([]byte(body[1:]), &handshake) != nil || handshake.Sid == "" {
		t.Fatalf("the handshake is %q", body)
	}
	return &poller{t: t, sid: handshake.Sid, url: at(s, "EIO=4&transport=polling&sid="+handshake.Sid)}
}

// joinPolling opens a session and connects it to the game.
func joinPolling(t *testing.T, s *subject.Server) *poller {
	t.Helper()
	p := openPolling(t, s)
	p.send("40")
	p.expect(patience, `40{"sid":"`)
	return p
}

// send posts the packets in one payload.
func (p *poller) send(packets ...string) {
	p.t.Helper()
	request(p.t, patience, 200, "POST", p.url, strings.Join(packets, separator))
}

// poll polls in a goroutine of its own, until ctx ends. A poll that breaks off
// has the status 0.
func (p *poller) poll(ctx context.Context) <-chan answer {
	came := make(chan answer, 1)
	go func() {
		got, _ := fetch(ctx, "GET", p.url, "")
		came <- got
	}()
	return came
}

// expect polls until the packets that begin with those heads have come, in
// order, and nothing else but what is skipped.
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
				p.t.Fatalf("%q came in place of %q", packet, head)
			}
		}
	}
}

// A socket is a WebSocket.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
}

func dial(t *testing.T, s *subject.Server, query string) socket {
	t.Helper()
	conn, response, err := dialed(t, s, query)
	if err != nil {
		t.Fatalf("WebSocket %s: %v (%v)", query, err, response)
	}
	return socket{t, conn}
}

func dialed(t *testing.T, s *subject.Server, query string) (*websocket.Conn, *http.Response, error) {
	url := "ws" + strings.TrimPrefix(at(s, query), "http")
	conn, response, err := websocket.DefaultDialer.DialContext(t.Context(), url, nil)
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return conn, response, err
}

// openSocket opens a session over WebSocket.
func openSocket(t *testing.T, s *subject.Server) socket {
	t.Helper()
	c := dial(t, s, "EIO=4&transport=websocket")
	c.expect(patience, `0{"`)
	return c
}

// joinSocket opens a session and connects it to the game.
func joinSocket(t *testing.T, s *subject.Server) socket {
	t.Helper()
	c := openSocket(t, s)
	c.send("40")
	c.expect(patience, `40{"sid":"`)
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

// expect waits for the packets that begin with those heads, in order, and
// nothing else but what is skipped.
func (c socket) expect(within time.Duration, heads ...string) {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(within))
	for _, head := range heads {
		for {
			_, packet, err := c.conn.ReadMessage()
			if err != nil {
				c.t.Fatalf("%v came in place of %q", err, head)
			}
			if strings.HasPrefix(string(packet), head) {
				break
			}
			if !skipped(string(packet)) {
				c.t.Fatalf("%q came in place of %q", packet, head)
			}
		}
	}
}

// expectClosed waits until the server has closed the connection, and returns
// what it sent before.
func (c socket) expectClosed(within time.Duration) (came []string) {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(within))
	for {
		_, packet, err := c.conn.ReadMessage()
		var slow net.Error
		if errors.As(err, &slow) && slow.Timeout() {
			c.t.Fatalf("the connection was not closed within %v; %q came", within, came)
		}
		if err != nil {
			return came
		}
		came = append(came, string(packet))
	}
}

// skipped reports whether a packet may come at any time: the end of a poll
// that brings nothing, and what the server tells everybody when somebody comes
// or goes.
func skipped(packet string) bool {
	return packet == "6" || strings.HasPrefix(packet, `42["`)
}
