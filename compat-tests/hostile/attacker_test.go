package hostile

import (
	"bufio"
	"bytes"
	"counting/compat-tests/harness"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// timeout is how long an answer may take. The slowest are caused by the server's own
// deadlines: 10 s for headers, 15 s for a body, 45 s for the heartbeat.
const timeout = 70 * time.Second

// An attacker sends malicious and broken requests to a server.
type attacker struct {
	t      *testing.T
	addr   string // host:port
	client *http.Client
}

func newAttacker(t *testing.T, server *harness.Server) attacker {
	return attacker{t, strings.TrimPrefix(server.URL, "http://"), &http.Client{Timeout: timeout}}
}

func (a attacker) dial() net.Conn {
	a.t.Helper()
	conn, err := net.Dial("tcp", a.addr)
	if err != nil {
		a.t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(timeout))
	a.t.Cleanup(func() { conn.Close() })
	return conn
}

// write writes to a new connection, with a pause between the texts, and returns the
// status of the response, or "closed".
func (a attacker) write(pause time.Duration, texts ...string) string {
	a.t.Helper()
	conn := a.dial()
	go func() {
		for i, text := range texts {
			if i > 0 {
				time.Sleep(pause)
			}
			if _, err := io.WriteString(conn, text); err != nil {
				return // refused before the end
			}
		}
	}()
	return answer(bufio.NewReader(conn))
}

func answer(r *bufio.Reader) string {
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		return "closed"
	}
	defer response.Body.Close()
	return fmt.Sprint(response.StatusCode)
}

const handshake = "/socket.io/?EIO=4&transport=polling"

// get returns a GET request with additional header lines, each ended by CRLF.
func get(path, headers string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n"
}

// request sends a request and returns the status and body of the response, or 0 and the
// error.
func (a attacker) request(method, path string, body io.Reader) (int, string) {
	a.t.Helper()
	r, err := http.NewRequest(method, "http://"+a.addr+path, body)
	if err != nil {
		a.t.Fatal(err)
	}
	response, err := a.client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

var sidField = regexp.MustCompile(`"sid":"([^"]+)"`)

// open opens a polling session and returns its path.
func (a attacker) open() string {
	a.t.Helper()
	status, text := a.request("GET", handshake, nil)
	sid := sidField.FindStringSubmatch(text)
	if sid == nil {
		a.t.Fatalf("the handshake answered %d %s", status, text)
	}
	return handshake + "&sid=" + sid[1]
}

// posts opens a polling session, posts a body to it, and returns the status and whether
// the session lives.
func (a attacker) posts(body io.Reader) string {
	a.t.Helper()
	path := a.open()
	status, _ := a.request("POST", path, body)
	return fmt.Sprintf("%d, %s", status, a.polls(path))
}

// polls reports whether a polling session lives.
func (a attacker) polls(path string) string {
	a.t.Helper()
	if status, _ := a.request("POST", path, strings.NewReader("40/nobody,")); status != http.StatusOK {
		return ends
	}
	for {
		status, text := a.request("GET", path, nil)
		if status != http.StatusOK {
			return ends
		}
		if strings.Contains(text, "44/nobody,") {
			return lived
		}
	}
}

// socket opens a session over WebSocket.
func (a attacker) socket(compressed bool) *websocket.Conn {
	a.t.Helper()
	dialer := websocket.Dialer{EnableCompression: compressed, HandshakeTimeout: timeout}
	conn, _, err := dialer.Dial("ws://"+a.addr+webSocketPath, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(timeout))
	conn.SetWriteDeadline(time.Now().Add(timeout))
	return conn
}

// sends sends packets over WebSocket, binary ones if they begin with "b", and returns the
// acks and refusals that it receives and whether the session lives.
func (a attacker) sends(packets ...string) string {
	a.t.Helper()
	conn := a.socket(false)
	for _, p := range packets {
		kind := websocket.TextMessage
		if strings.HasPrefix(p, "b") {
			kind = websocket.BinaryMessage
		}
		if conn.WriteMessage(kind, []byte(p)) != nil {
			break
		}
	}
	return lives(conn)
}

// frames sends raw bytes over a WebSocket.
func (a attacker) frames(frames ...[]byte) string {
	a.t.Helper()
	conn := a.socket(false)
	for _, f := range frames {
		if _, err := conn.NetConn().Write(f); err != nil {
			break
		}
	}
	return lives(conn)
}

// lives joins an unknown namespace, whose refusal shows that the session lives. It
// returns that after the acks that it has received.
func lives(conn *websocket.Conn) string {
	var acks string
	conn.WriteMessage(websocket.TextMessage, []byte("40/nobody,"))
	for {
		_, packet, err := conn.ReadMessage()
		switch text := string(packet); {
		case err != nil:
			return acks + ends
		case text == "2":
			conn.WriteMessage(websocket.TextMessage, []byte("3"))
		case strings.HasPrefix(text, "44/nobody,"):
			return acks + lived
		case strings.HasPrefix(text, "43"), strings.HasPrefix(text, "44"):
			acks += text + ", "
		}
	}
}

// frame returns a WebSocket frame of a client, masked with zeros. The first byte has
// FIN, the reserved bits and the opcode.
func frame(first byte, payload []byte) []byte {
	var b bytes.Buffer
	b.WriteByte(first)
	switch n := len(payload); {
	case n < 126:
		b.WriteByte(0x80 | byte(n))
	case n < 1<<16:
		b.WriteByte(0x80 | 126)
		binary.Write(&b, binary.BigEndian, uint16(n))
	default:
		b.WriteByte(0x80 | 127)
		binary.Write(&b, binary.BigEndian, uint64(n))
	}
	b.Write(make([]byte, 4))
	b.Write(payload)
	return b.Bytes()
}
