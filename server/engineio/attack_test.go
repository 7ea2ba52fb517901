package engineio

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// connect opens a TCP connection to the server.
func (s *testServer) connect() net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(patience))
	return conn
}

// asksForWebSocket sends the request for a WebSocket of that version.
func asksForWebSocket(conn net.Conn, query, version string) {
	fmt.Fprintf(conn, "GET /?EIO=4&transport=websocket%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: %s\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", query, version)
}

// The connection of a WebSocket that was refused stayed open for good, even after
// the client had closed it.
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
