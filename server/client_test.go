package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"counting/compat-tests/lockedbuffer"
)

// timeout is how long a test waits for anything that must happen.
const timeout = time.Minute

// testServer is a server that runs in this process, on a free port.
type testServer struct {
	url   string
	query string // of its clients' URLs
	data  string
	log   *lockedbuffer.Buffer
	stop  func() error // clean stop; returns what run returns
}

func startServer(t testing.TB, args ...string) *testServer {
	t.Helper()
	return startServerIn(t, t.TempDir(), args...)
}

func startServerIn(t testing.TB, data string, args ...string) *testServer {
	t.Helper()
	s := &testServer{data: data, log: new(lockedbuffer.Buffer)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, append([]string{"-addr", "127.0.0.1:0", "-data", data}, args...), noEnv, s.log)
	}()
	s.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(timeout):
			return fmt.Errorf("the server does not stop")
		}
	})
	t.Cleanup(func() { s.stop() })
	waitFor(t, "the server to listen", func() bool {
		s.url = listening.FindString(s.log.String())
		return s.url != ""
	})
	return s
}

// listening matches the address in the server's log.
var listening = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// wsURL returns the URL for opening a session over WebSocket.
func (s *testServer) wsURL() string {
	return strings.Replace(s.url, "http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket" + s.more()
}

// more returns what clients add to their queries.
func (s *testServer) more() string {
	if s.query == "" {
		return ""
	}
	return "&" + s.query
}

func noEnv(string) (string, bool) { return "", false }

// numbers returns the lines of the numbers file.
func (s *testServer) numbers(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.data, "numbers.txt"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// peer is a raw client over WebSocket: it sends and receives Engine.IO packets.
type peer struct {
	t    testing.TB
	conn *websocket.Conn
}

func dial(t testing.TB, s *testServer) *peer {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial(s.wsURL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &peer{t, conn}
}

// join dials, connects and expects packets with those prefixes.
func join(t testing.TB, s *testServer, heads ...string) *peer {
	t.Helper()
	p := dial(t, s)
	p.expect(`0{"`)
	p.send("40")
	p.expect(heads...)
	return p
}

const (
	assigned1 = `42["client_assigned",{"client_id":"client1"`
	assigned2 = `42["client_assigned",{"client_id":"client2"`
	started   = `42["start_game"]`
	stopped   = `42["stop_game"]`
	joined    = `40{"sid":"`
)

func joinTwo(t testing.TB, s *testServer) (*peer, *peer) {
	t.Helper()
	a := join(t, s, assigned1, joined)
	b := join(t, s, assigned2, started, joined)
	a.expect(started)
	return a, b
}

func (p *peer) send(packets ...string) {
	p.t.Helper()
	for _, packet := range packets {
		if err := p.conn.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
			p.t.Fatalf("send %q: %v", packet, err)
		}
	}
}

// next returns the next packet.
func (p *peer) next() (string, error) {
	p.conn.SetReadDeadline(time.Now().Add(timeout))
	_, packet, err := p.conn.ReadMessage()
	return string(packet), err
}

// expect fails unless the next packets have those prefixes.
func (p *peer) expect(heads ...string) {
	p.t.Helper()
	for _, head := range heads {
		packet, err := p.next()
		for err == nil && packet == "2" && head != "2" { // on a busy machine
			p.send("3")
			packet, err = p.next()
		}
		if err != nil {
			p.t.Fatalf("%v received, want %q", err, head)
		}
		if !strings.HasPrefix(packet, head) {
			p.t.Fatalf("%q received, want %q", packet, head)
		}
	}
}

func number(id, seat string, n any) string {
	return fmt.Sprintf(`42%s["number",{"client_id":"%s","number":%v}]`, id, seat, n)
}

// dialTCP opens a connection with a deadline.
func (s *testServer) dialTCP(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(timeout))
	return conn
}

// request makes one HTTP request and returns status and body.
func request(t testing.TB, method, url string, body io.Reader) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text), response.Header
}

// poller is a raw client that polls.
type poller struct {
	t   testing.TB
	url string
}

func openPolling(t testing.TB, s *testServer) poller {
	t.Helper()
	return openPollingAt(t, s.url+"/socket.io/?EIO=4&transport=polling"+s.more())
}

func openPollingAt(t testing.TB, base string) poller {
	t.Helper()
	_, body, _ := request(t, "GET", base, nil)
	sid := regexp.MustCompile(`"sid":"([^"]+)"`).FindStringSubmatch(body)
	if sid == nil {
		t.Fatalf("handshake answered %q", body)
	}
	return poller{t, base + "&sid=" + sid[1]}
}

func (p poller) post(body io.Reader) (int, string) {
	p.t.Helper()
	status, text, _ := request(p.t, "POST", p.url, body)
	return status, text
}

// expect polls until packets with those prefixes have arrived, in order.
func (p poller) expect(heads ...string) {
	p.t.Helper()
	var packets []string
	for len(heads) > 0 {
		for len(packets) == 0 {
			status, body, _ := request(p.t, "GET", p.url, nil)
			if status != http.StatusOK {
				p.t.Fatalf("poll answered %d %q in place of %q", status, body, heads[0])
			}
			packets = strings.Split(body, "\x1e")
		}
		if !strings.HasPrefix(packets[0], heads[0]) {
			p.t.Fatalf("%q received, want %q", packets[0], heads[0])
		}
		packets, heads = packets[1:], heads[1:]
	}
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v, still waiting for %s", timeout, what)
		}
	}
}
