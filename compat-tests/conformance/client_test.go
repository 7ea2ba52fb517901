package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/subject"

	"github.com/gorilla/websocket"
)

// patience is how long a test waits for what has to come; a ping comes after
// 25 s, and a session that is silent ends after 45 s.
const (
	patience    = 10 * time.Second
	pingTime    = 25*time.Second + patience
	timeoutTime = 45*time.Second + patience
)

// separator stands between the packets of a polling payload.
const separator = "\x1e"

// A number that each test may send as its first: the seat is client1's, the
// file is empty. The original takes it from anybody and at any time.
const (
	numberWithAck = `421["number",{"client_id":"client1","number":1}]`
	ackOfNumber   = `431[]`
)

// A server is what a case is run against.
type server struct {
	*subject.Server
	original bool
}

// at is where Engine.IO listens, with that query.
func (s server) at(query string) string { return s.URL + "/socket.io/?" + query }

// An answer is what came of one HTTP request.
type answer struct {
	status int
	body   string
}

func (a answer) String() string { return fmt.Sprintf("%d %q", a.status, a.body) }

// request makes one HTTP request.
func request(t *testing.T, method, url, body string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	client := http.Client{Timeout: timeoutTime}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, string(text)}
}

// wantStatus fails the test if one of the requests is answered otherwise.
func wantStatus(t *testing.T, want int, method string, urls ...string) {
	t.Helper()
	for _, url := range urls {
		if got := request(t, method, url, ""); got.status != want {
			t.Errorf("%s %s: %s, want %d", method, url, got, want)
		}
	}
}

// A poller is a session over HTTP long-polling.
type poller struct {
	t      *testing.T
	server server
	sid    string
	came   []string // and was not asked for yet
}

func openPolling(t *testing.T, s server) *poller {
	t.Helper()
	opened := request(t, "GET", s.at("EIO=4&transport=polling"), "")
	var handshake struct{ Sid string }
	if len(opened.body) == 0 || json.Unmarshal([]byte(opened.body[1:]), &handshake) != nil || handshake.Sid == "" {
		t.Fatalf("the handshake is %s", opened)
	}
	return &poller{t: t, server: s, sid: handshake.Sid}
}

// joinPolling opens a session and connects it to the game.
func joinPolling(t *testing.T, s server) *poller {
	t.Helper()
	p := openPolling(t, s)
	p.send("40")
	p.expect(`40{"sid":"`)
	return p
}

func (p *poller) url() string { return p.server.at("EIO=4&transport=polling&sid=" + p.sid) }

func (p *poller) post(body string) answer {
	p.t.Helper()
	return request(p.t, "POST", p.url(), body)
}

func (p *poller) poll() answer {
	p.t.Helper()
	return request(p.t, "GET", p.url(), "")
}

// pollLater polls in a goroutine of its own. The answer is "" if none came.
func (p *poller) pollLater() <-chan answer {
	came := make(chan answer, 1)
	go func() {
		defer close(came)
		response, err := http.Get(p.url())
		if err != nil {
			return
		}
		defer response.Body.Close()
		if body, err := io.ReadAll(response.Body); err == nil {
			came <- answer{response.StatusCode, string(body)}
		}
	}()
	return came
}

// send posts the packets, and expects them to be taken.
func (p *poller) send(packets ...string) {
	p.t.Helper()
	if got := p.post(strings.Join(packets, separator)); got.status != 200 {
		p.t.Fatalf("POST %q: %s", packets, got)
	}
}

// expect polls until a packet that begins with each head has come, in order.
func (p *poller) expect(heads ...string) {
	p.t.Helper()
	for _, head := range heads {
		for {
			for len(p.came) == 0 {
				got := p.poll()
				if got.status != 200 {
					p.t.Fatalf("a poll gets %s in place of %q", got, head)
				}
				p.came = slices.DeleteFunc(strings.Split(got.body, separator), inPassing)
			}
			packet := p.came[0]
			p.came = p.came[1:]
			if strings.HasPrefix(packet, head) {
				break
			}
			if !ofGame(packet) {
				p.t.Fatalf("%q came in place of %q", packet, head)
			}
		}
	}
}

// A socket is a session over WebSocket.
type socket struct {
	t *testing.T
	*websocket.Conn
}

// dial opens a WebSocket. The server has to take it.
func dial(t *testing.T, s server, query string) socket {
	t.Helper()
	conn, response, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(s.at(query), "http"), nil)
	if err != nil {
		if response != nil {
			err = fmt.Errorf("%w: %s", err, response.Status)
		}
		t.Fatalf("WebSocket %s: %v", query, err)
	}
	t.Cleanup(func() { conn.Close() })
	return socket{t, conn}
}

// openSocket opens a session over WebSocket.
func openSocket(t *testing.T, s server) socket {
	t.Helper()
	c := dial(t, s, "EIO=4&transport=websocket")
	c.expect(`0{"`)
	return c
}

// joinSocket opens a session and connects it to the game.
func joinSocket(t *testing.T, s server) socket {
	t.Helper()
	c := openSocket(t, s)
	c.send("40")
	c.expect(`40{"sid":"`)
	return c
}

func (c socket) send(packets ...string) {
	c.t.Helper()
	for _, packet := range packets {
		if err := c.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
			c.t.Fatalf("send %q: %v", packet, err)
		}
	}
}

func (c socket) sendBinary(data ...byte) {
	c.t.Helper()
	if err := c.WriteMessage(websocket.BinaryMessage, data); err != nil {
		c.t.Fatalf("send %v: %v", data, err)
	}
}

// expect waits for a packet that begins with each head, in order.
func (c socket) expect(heads ...string) {
	c.t.Helper()
	for _, head := range heads {
		if got, err := c.within(patience, head); err != nil {
			c.t.Fatalf("%v came in place of %q", err, head)
		} else if !strings.HasPrefix(got, head) {
			c.t.Fatalf("%q came in place of %q", got, head)
		}
	}
}

// within returns the next packet that is either wanted or no game event.
func (c socket) within(time_ time.Duration, head string) (string, error) {
	c.SetReadDeadline(time.Now().Add(time_))
	for {
		_, data, err := c.ReadMessage()
		packet := string(data)
		if err != nil || strings.HasPrefix(packet, head) || !ofGame(packet) && !inPassing(packet) {
			return packet, err
		}
	}
}

// expectClosed waits until the server closes the connection. Until then it may
// send a ping, which is left without an answer.
func (c socket) expectClosed(within time.Duration, answerPings bool) {
	c.t.Helper()
	deadline := time.Now().Add(within)
	for {
		c.SetReadDeadline(deadline)
		_, data, err := c.ReadMessage()
		var slow net.Error
		switch {
		case errors.As(err, &slow) && slow.Timeout():
			c.t.Fatalf("the server did not close the connection within %v", within)
		case err != nil:
			return
		case string(data) == "2" && answerPings:
			c.send("3")
		case string(data) != "2" && !ofGame(string(data)):
			c.t.Fatalf("%q came before the connection was closed", data)
		}
	}
}

// ofGame reports whether the server sent a packet by itself, as it does
// whenever somebody comes or goes.
func ofGame(packet string) bool {
	return strings.HasPrefix(packet, `42["`)
}

// inPassing reports whether a packet is Engine.IO's own business.
func inPassing(packet string) bool { return packet == "" || packet == "6" }
