package engineio

import (
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// connect opens a TCP connection to the server.
func (s *testServer) connect() net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(timeout))
	return conn
}

// asksForWebSocket sends a request for a WebSocket of that version.
func asksForWebSocket(conn net.Conn, query, version string) {
	fmt.Fprintf(conn, "GET /?EIO=4&transport=websocket%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: %s\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", query, version)
}

// The connection of a refused WebSocket was never closed, even after the client had
// closed it.
func TestTheConnectionOfARefusedWebSocketIsClosed(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for _, query := range []string{"", s.opens()} {
		conn := s.connect()
		asksForWebSocket(conn, query, "12")
		text, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 426 ") {
			t.Errorf("with query %q it is answered %q, and then %v", query, text, err)
		}
	}
}

// upgrading is the connection of an upgrade.
type upgrading struct {
	scripted
	session *Session
	tooLate bool  // the deadlines were removed after others may have begun to write
	broken  error // of each Write
	mu      sync.Mutex
	sent    string // guarded by mu
}

func (u *upgrading) Write(b []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sent += string(b)
	return len(b), u.broken
}

func (u *upgrading) Close() error { return nil }

func (u *upgrading) SetWriteDeadline(time.Time) error { return nil }

func (u *upgrading) SetDeadline(t time.Time) error {
	u.deadline = t
	u.session.mu.Lock()
	defer u.session.mu.Unlock()
	u.tooLate = u.tooLate || t.IsZero() && u.session.conn != nil
	return nil
}

func (s *testServer) upgrades(parts ...string) *upgrading {
	u := &upgrading{scripted: scripted{parts: parts}, session: s.opened(s.opens())}
	u.serve()
	return u
}

// serve lets the session try to upgrade to the connection.
func (u *upgrading) serve() {
	c := &conn{session: u.session, net: u}
	c.in.conn = u
	c.serveUpgrade()
}

// A frame that arrived in two parts removed the deadline of the upgrade: its WebSocket
// and goroutine outlived the session.
func TestAnUpgradeEndsInTimeWhateverComes(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for _, sent := range []string{frame(ws.OpPing, true, "x"), frame(ws.OpText, true, "2probe")} {
		u := s.upgrades(sent[:3], sent[3:])
		if u.deadline.IsZero() || time.Until(u.deadline) > upgradeTimeout {
			t.Errorf("after %q the upgrade may last until %v", sent, u.deadline)
		}
	}
	if u := s.upgrades(); u.deadline.IsZero() || time.Until(u.deadline) > upgradeTimeout {
		t.Errorf("an upgrade of which nothing comes may last until %v", u.deadline)
	}
}

// A client that upgraded and did not read was never disconnected: the deadline for
// writing what was queued for it was removed directly after it was set.
func TestAnUpgradeKeepsTheDeadlineOfWhatIsWritten(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	text := frame(ws.OpText, true, "4x")
	for _, further := range [][]string{nil, {text}, {text[:3], text[3:], text}} {
		u := s.upgrades(append([]string{frame(ws.OpText, true, "2probe"), frame(ws.OpText, true, "5")}, further...)...)
		if u.tooLate || !u.deadline.IsZero() {
			t.Error("the deadlines are removed after the WebSocket has become the transport, or never")
		}
	}
}

// slow is a handler whose session's connection breaks while it handles a message, and
// which sends more afterwards.
type slow struct{ session *Session }

func (h slow) Message([]byte, bool) {
	h.session.mu.Lock()
	h.session.conn.close() // as a write that fails does
	h.session.mu.Unlock()
	h.session.Send(strings.Repeat("x", 64<<10))
}
func (slow) Heartbeat()   {}
func (slow) Close(string) {}

// What was sent to a session between the failure of a write and its end was counted
// against the budget forever.
func TestTheBudgetIsGivenBackWhenAConnectionBreaks(t *testing.T) {
	t.Parallel()
	s := New(func(session *Session) Handler { return slow{session} }, Options{})
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	client := &testServer{t: t, url: h.URL}
	write(t, client.dial(""), "4x")
	waitFor(t, "the session to end", func() bool { return s.Sessions() == 0 })
	waitFor(t, "the budget to be given back", func() bool {
		_, sending := s.Usage()
		return sending == 0
	})
}

// net/http does not detect the end of a connection before a request's body is read,
// and after a poll reading had no deadline: the connection was never closed.
func TestAPollWithoutItsBodyEnds(t *testing.T) {
	t.Parallel()
	s := New(func(session *Session) Handler { return slow{session} }, Options{})
	h := httptest.NewUnstartedServer(s)
	h.Config.ReadTimeout = time.Second
	h.Start()
	t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
		s.Close()
	})
	client := &testServer{t: t, url: h.URL}
	sid := client.opens()
	conn := client.connect()
	fmt.Fprintf(conn, "GET /?EIO=4&transport=polling%s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", sid)
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("the connection is not closed: %v", err)
	}
}

// The length of a message's last part overflowed the sum that is compared with the
// limit.
func TestAMessageIsMeasuredWithAllOfItsParts(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	conn := s.connect()
	asksForWebSocket(conn, "", "13")
	fmt.Fprint(conn, "\x01"+frame(ws.OpText, true, "4x")[1:]) // not the last part
	fmt.Fprint(conn, "\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00")
	text, err := io.ReadAll(conn)
	if err != nil || s.reached(LimitPayload) != 1 {
		t.Errorf("%q, %v came; the limit was reached %d times", text, err, s.reached(LimitPayload))
	}
}

// Packets were kept in memory after they had been delivered.
func TestNothingIsKeptOfWhatWasDelivered(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	sid := s.opens()
	polling := s.opened(sid)
	for range 1000 {
		polling.Send("x")
	}
	for range 1 + 1000/maxPolled {
		s.request("GET", sid, "")
	}
	polling.mu.Lock()
	if n := cap(polling.queue); len(polling.queue) > 0 || n > 256 {
		t.Errorf("%d packets are queued, in room for %d", len(polling.queue), n)
	}
	polling.mu.Unlock()

	conn := s.dial("")
	expect(t, conn, "0")
	write(t, conn, "4hello")
	expect(t, conn, "4hello")
	s.Server.mu.Lock()
	defer s.Server.mu.Unlock()
	for _, session := range s.sessions {
		session.mu.Lock()
		for _, p := range session.queue[:cap(session.queue)] {
			if p.data != "" {
				t.Errorf("%q is kept", p.data)
			}
		}
		session.mu.Unlock()
	}
}

// A list of the packets of one request body took 16 times its size.
func TestPacketsOfABodyAreNotCollected(t *testing.T) {
	body := strings.Repeat("4\x1e", 100_000) + "4"
	n := 0
	allocations := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			packets, err := parsePayload(body, 0)
			if err != nil {
				b.Fatal(err)
			}
			n = 0
			for range packets {
				n++
			}
		}
	}).AllocedBytesPerOp()
	if n != 100_001 || allocations > 10_000 {
		t.Errorf("%d packets were parsed, and %d bytes allocated", n, allocations)
	}
}
