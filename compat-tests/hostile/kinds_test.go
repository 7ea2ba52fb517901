package hostile

import (
	"bytes"
	"counting/compat-tests/harness"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	number        = `["number",{"client_id":"client1","number":1}]`
	ends          = "session ends"
	lived         = "session lives"
	unjoined      = `[{"error":"the session has not joined the game"}]`
	upgrade       = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
	version       = "Sec-WebSocket-Version: 13\r\n"
	key           = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	unknownEvent  = `42["unheard"]`
	webSocketPath = "/socket.io/?EIO=4&transport=websocket"
)

// kinds are the kinds of hostile sessions. Each returns a summary of the response.
var kinds = []struct {
	group, name string
	attack      func(a attacker) string
	want        string
}{
	{"HTTP", "bytes that are not a request", func(a attacker) string { return a.write(0, "\x16\x03\x01\x02\x00\x01\r\n\r\n") }, "400"},
	{"HTTP", "no Host", func(a attacker) string { return a.write(0, "GET / HTTP/1.1\r\n\r\n") }, "400"},
	{"HTTP", "two Hosts", func(a attacker) string { return a.write(0, get("/", "Host: other\r\n")) }, "400"},
	{"HTTP", "an unknown version", func(a attacker) string { return a.write(0, "GET / HTTP/9.9\r\nHost: x\r\n\r\n") }, "505"},
	{"HTTP", "a header of 128 KB", func(a attacker) string { return a.write(0, get("/", "X: "+strings.Repeat("x", 128<<10)+"\r\n")) }, "431"},
	{"HTTP", "20,000 headers", func(a attacker) string { return a.write(0, get("/", strings.Repeat("X: y\r\n", 20_000))) }, "400"},
	{"HTTP", "a path of 128 KB", func(a attacker) string { return a.write(0, get("/"+strings.Repeat("x", 128<<10), "")) }, "431"},
	{"HTTP", "a path with ..", func(a attacker) string { return a.write(0, get("/../../etc/passwd", "")) }, "404"},
	{"HTTP", "an unknown method", func(a attacker) string { return a.write(0, "FOO /health HTTP/1.1\r\nHost: x\r\n\r\n") }, "405"},
	{"HTTP", "a Content-Length that is not a number", func(a attacker) string {
		return a.write(0, "POST "+handshake+" HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n")
	}, "400"},
	{"HTTP", "two Content-Lengths", func(a attacker) string {
		return a.write(0, "POST "+handshake+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n1")
	}, "400"},
	{"HTTP", "a request smuggled by Content-Length and chunks", func(a attacker) string {
		return a.write(0, "POST "+handshake+" HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n")
	}, "400"},
	{"HTTP", "a chunk of a length that overflows", func(a attacker) string {
		path := a.open()
		return a.write(0, "POST "+path+" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n") + ", " + a.polls(path)
	}, "400, " + lived},
	{"HTTP", "chunks that break off", func(a attacker) string {
		path := a.open()
		conn := a.dial()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n42[\"", path)
		conn.Close()
		return a.polls(path)
	}, lived},
	{"slow", "a request line, byte by byte", func(a attacker) string { return a.write(time.Second, strings.Split("GET /health HTTP/1.1\r\n", "")...) }, "400"},
	{"slow", "headers, one a second", func(a attacker) string {
		return a.write(time.Second, append([]string{"GET / HTTP/1.1\r\nHost: x\r\n"}, strings.SplitAfter(strings.Repeat("X: y\r\n", 30), "\n")...)...)
	}, "closed"},
	{"slow", "a body, byte by byte", func(a attacker) string {
		path := a.open()
		head := "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
		return a.write(time.Second, append([]string{head}, strings.Split(strings.Repeat("x", 30), "")...)...)
	}, "400"},
	{"slow", "half a WebSocket frame and nothing more", func(a attacker) string {
		conn := a.socket(false)
		conn.NetConn().Write(frame(0x81, []byte("42"+number))[:20])
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return ends // by the heartbeat
			}
		}
	}, ends},
	{"slow", "a session that does not answer pings", func(a attacker) string {
		path := a.open()
		for {
			if status, _ := a.request("GET", path, nil); status != http.StatusOK {
				return ends
			}
		}
	}, ends},
	{"slow", "a poll that is never read", func(a attacker) string {
		path := a.open()
		conn := a.dial()
		conn.(*net.TCPConn).SetReadBuffer(1)
		fmt.Fprint(conn, get(path, ""))
		return a.pollsUntilGone(path)
	}, ends},

	{"handshake", "Engine.IO version 3", func(a attacker) string { return a.write(0, get("/socket.io/?EIO=3&transport=polling", "")) }, "400"},
	{"handshake", "no Engine.IO version", func(a attacker) string { return a.write(0, get("/socket.io/", "")) }, "400"},
	{"handshake", "an unknown transport", func(a attacker) string { return a.write(0, get("/socket.io/?EIO=4&transport=smoke", "")) }, "400"},
	{"handshake", "an unknown session", func(a attacker) string { return a.write(0, get(handshake+"&sid=../../x", "")) }, "400"},
	{"handshake", "a POST without a session", func(a attacker) string {
		status, _ := a.request("POST", handshake, strings.NewReader("40"))
		return fmt.Sprint(status)
	}, "400"},
	{"handshake", "a WebSocket without an upgrade", func(a attacker) string { return a.write(0, get(webSocketPath, "")) }, "400"},
	{"handshake", "an upgrade of another version", func(a attacker) string {
		return a.write(0, get(webSocketPath, upgrade+"Sec-WebSocket-Version: 7\r\n"+key))
	}, "426"},
	{"handshake", "an upgrade without a key", func(a attacker) string { return a.write(0, get(webSocketPath, upgrade+version)) }, "400"},
	{"handshake", "an upgrade of an unknown session", func(a attacker) string {
		return a.write(0, get(webSocketPath+"&sid=nobody", upgrade+version+key))
	}, "400"},
	{"handshake", "frames before the answer to the upgrade", func(a attacker) string {
		return a.write(0, get(webSocketPath, upgrade+version+key)+string(frame(0x81, []byte("40"))))
	}, "101"},
	{"handshake", "an upgrade that is never finished", func(a attacker) string {
		path := a.open()
		conn := a.dial()
		fmt.Fprint(conn, get(strings.Replace(path, "polling", "websocket", 1), upgrade+version+key))
		return a.polls(path)
	}, lived},
	{"handshake", "two polls at the same time", func(a attacker) string {
		path := a.open()
		first := make(chan struct{})
		go func() { a.request("GET", path, nil); close(first) }()
		a.request("GET", path, nil)
		<-first
		return a.polls(path)
	}, ends},
	{"handshake", "polling a session that is a WebSocket", func(a attacker) string {
		conn := a.socket(false)
		_, packet, _ := conn.ReadMessage()
		status, _ := a.request("GET", handshake+"&sid="+sidField.FindStringSubmatch(string(packet))[1], nil)
		return fmt.Sprintf("%d, %s", status, lives(conn))
	}, "400, " + lived},

	{"body", "one byte too many", func(a attacker) string { return a.posts(strings.NewReader(strings.Repeat("x", 1_000_001))) }, "413, " + lived},
	{"body", "endless chunks", func(a attacker) string { return a.posts(&endless{}) }, "413, " + lived},
	{"body", "invalid packets", func(a attacker) string { return a.posts(strings.NewReader("\x1e\x1e9\x1eq")) }, "200, " + lived},
	{"body", "10,000 packets", func(a attacker) string {
		return a.posts(strings.NewReader("40\x1e" + strings.Repeat("42[]\x1e", 10_000) + "42[]"))
	}, "200, " + lived},

	{"frame", "not masked", func(a attacker) string { return a.frames([]byte{0x81, 2, '4', '0'}) }, ends},
	{"frame", "an unknown opcode", func(a attacker) string { return a.frames(frame(0x83, []byte("40"))) }, ends},
	{"frame", "reserved bits", func(a attacker) string { return a.frames(frame(0xf1, []byte("40"))) }, ends},
	{"frame", "a ping in two parts", func(a attacker) string { return a.frames(frame(0x09, []byte("x"))) }, ends},
	{"frame", "a ping of 200 bytes", func(a attacker) string { return a.frames(frame(0x89, make([]byte, 200))) }, ends},
	{"frame", "a length of 2^63", func(a attacker) string {
		return a.frames(append([]byte{0x81, 0xff, 0x80}, make([]byte, 20)...))
	}, ends},
	{"frame", "a length of 2 MB", func(a attacker) string { return a.frames(frame(0x81, make([]byte, 2<<20))) }, ends},
	{"frame", "a second part without a first", func(a attacker) string { return a.frames(frame(0x80, []byte("40"))) }, ends},
	{"frame", "a message of endless parts", func(a attacker) string {
		parts := [][]byte{frame(0x01, make([]byte, 1000))}
		for range 2000 {
			parts = append(parts, frame(0x00, make([]byte, 1000)))
		}
		return a.frames(parts...)
	}, ends},
	{"frame", "10,000 pings", func(a attacker) string { return a.frames(bytes.Repeat(frame(0x89, []byte("x")), 10_000)) }, lived},
	{"frame", "10,000 empty frames", func(a attacker) string { return a.frames(bytes.Repeat(frame(0x81, nil), 10_000)) }, ends},
	{"frame", "text that is not UTF-8", func(a attacker) string { return a.frames(frame(0x81, []byte("42[\"\xff\xfe\"]"))) }, ends},
	{"frame", "a close of one byte", func(a attacker) string { return a.frames(frame(0x88, []byte("x"))) }, ends},
	{"frame", "a close with an invalid code", func(a attacker) string { return a.frames(frame(0x88, []byte{0, 1})) }, ends},
	{"frame", "100 MB, compressed to 100 KB", func(a attacker) string {
		conn := a.socket(true)
		w, err := conn.NextWriter(websocket.TextMessage)
		for i := 0; i < 100 && err == nil; i++ {
			_, err = w.Write(make([]byte, 1<<20))
		}
		if err == nil {
			w.Close()
		}
		return lives(conn)
	}, ends},

	{"packet", "an unknown type", func(a attacker) string { return a.sends("q") }, ends},
	{"packet", "Engine.IO's CLOSE", func(a attacker) string { return a.sends("1") }, ends},
	{"packet", "Engine.IO's OPEN, PING, UPGRADE, NOOP", func(a attacker) string { return a.sends("0", "2", "5", "6", "2probe", "3probe") }, lived},
	{"packet", "messages that are empty or not a packet", func(a attacker) string {
		return a.sends("4", "49", "4x", "42", "42[", "42{}", "42[]", "42[1]", "42null")
	}, lived},
	{"packet", "a CONNECT that is not JSON", func(a attacker) string { return a.sends("40{") }, lived},
	{"packet", "a CONNECT of 900 KB", func(a attacker) string { return a.sends(`40{"token":"` + strings.Repeat("x", 900_000) + `"}`) }, lived},
	{"packet", "CONNECT a hundred times", func(a attacker) string { return a.sends(strings.Fields(strings.Repeat("40 ", 100))...) }, strings.Repeat("44\"Unable to connect\", ", 99) + lived},
	{"packet", "CONNECT, DISCONNECT, a hundred times", func(a attacker) string {
		return a.sends(strings.Fields(strings.Repeat("40 41 ", 100))...)
	}, lived},
	{"packet", "DISCONNECT before CONNECT", func(a attacker) string { return a.sends("41", "41") }, lived},
	{"packet", "other namespaces, a thousand", func(a attacker) string {
		var all []string
		for i := range 1000 {
			all = append(all, fmt.Sprintf("40/n%d,", i))
		}
		return a.sends(all...)[:5] + "…"
	}, "44/n0…"},
	{"packet", "acks and errors without a request", func(a attacker) string { return a.sends("43[]", "431[]", "44{}", `44"x"`) }, lived},
	{"packet", "an ack id of 200 digits", func(a attacker) string { return a.sends("40", "42"+strings.Repeat("9", 200)+number) }, lived},
	{"packet", "a binary event whose attachments never come", func(a attacker) string { return a.sends("40", "452-"+number, "42"+number) }, lived},
	{"packet", "a binary event of 60,000 attachments", func(a attacker) string { return a.sends("40", "4560000-"+number, "b1", "b2") }, lived},
	{"packet", "attachments without an event", func(a attacker) string { return a.sends("40", "b1", "b2", "b3") }, lived},
	{"packet", "a binary ack", func(a attacker) string { return a.sends("40", "461-1[]", "b1", "46") }, lived},

	{"event", "a number before CONNECT", func(a attacker) string { return a.sends("421" + number) }, lived},
	{"event", "a number without a seat", func(a attacker) string { return a.sends("40", "421"+number) }, "431" + unjoined + ", " + lived},
	{"event", "no number", func(a attacker) string { return a.sends("40", `421["number"]`) },
		"431" + unjoined + ", " + lived},
	{"event", "a number that is a word", func(a attacker) string {
		return a.sends("40", `421["number",{"client_id":"client1","number":"one"}]`)
	}, "431" + unjoined + ", " + lived},
	{"event", "a number of 1e999", func(a attacker) string {
		return a.sends("40", `421["number",{"client_id":"client1","number":1e999}]`)
	}, "431" + unjoined + ", " + lived},
	{"event", "NaN", func(a attacker) string { return a.sends("40", `421["number",{"client_id":"client1","number":NaN}]`) }, lived},
	{"event", "nested 400,000 deep", func(a attacker) string {
		return a.sends("40", `421["number",`+strings.Repeat("[", 400_000)+strings.Repeat("]", 400_000)+"]")
	}, lived},
	{"event", "a client_id of 900 KB", func(a attacker) string {
		return a.sends("40", `421["number",{"client_id":"`+strings.Repeat("x", 900_000)+`","number":1}]`)
	}, "431" + unjoined + ", " + lived},
	{"event", "the same key twice", func(a attacker) string {
		return a.sends("40", `421["number",{"client_id":"client1","client_id":[],"number":1}]`)
	}, "431" + unjoined + ", " + lived},
	{"event", "the server's own events", func(a attacker) string {
		return a.sends("40", `42["start_game"]`, `42["stop_game"]`, `42["client_assigned",{"client_id":"client1","last_number":9}]`, `42["disconnect"]`, `42["connect"]`)
	}, lived},
	{"event", "a line feed and a terminal's escape", func(a attacker) string {
		return a.sends("40", `421["number",{"client_id":"x\nClient client1 disconnected.\u001b[2J","number":1}]`)
	}, "431" + unjoined + ", " + lived},

	{"flood", "100,000 numbers whose acks are never read", func(a attacker) string {
		conn := a.socket(false)
		conn.NetConn().(*net.TCPConn).SetReadBuffer(1)
		packet := []byte("40")
		for range 100_000 {
			if conn.WriteMessage(websocket.TextMessage, packet) != nil {
				return ends
			}
			packet = []byte("421" + number)
		}
		for { // until a write fails, as nothing is read
			if conn.WriteMessage(websocket.TextMessage, []byte("6")) != nil {
				return ends
			}
			time.Sleep(20 * time.Millisecond)
		}
	}, ends},
	{"flood", "100,000 numbers, posted, whose acks are never polled", func(a attacker) string {
		// Each post joins the namespace again: as both seats are taken, a session is
		// refused after 5 s, and after that its packets would get no responses that
		// could accumulate.
		path := a.open()
		for range 100 {
			if status, _ := a.request("POST", path, strings.NewReader("40\x1e"+strings.Repeat("421"+number+"\x1e", 1000)+unknownEvent)); status != http.StatusOK {
				return ends
			}
		}
		return lived
	}, ends},
	{"flood", "5,000 posts and polls", func(a attacker) string {
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				path := a.open()
				for range 250 {
					a.request("POST", path, strings.NewReader("40/nobody,"))
					a.request("GET", path, nil)
				}
			})
		}
		all.Wait()
		return a.polls(a.open())
	}, lived},
	{eviction, "sessions that are opened and abandoned, " + fmt.Sprint(abandoned), func(a attacker) string {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for range abandoned / 20 {
					a.open()
				}
			})
		}
		all.Wait()
		return a.polls(a.open())
	}, lived},
	{"flood", "100 readers of the stream that do not read", func(a attacker) string {
		for range 100 {
			conn := a.dial()
			conn.(*net.TCPConn).SetReadBuffer(1)
			fmt.Fprint(conn, get("/events?after=0", ""))
		}
		return a.polls(a.open())
	}, lived},
}

// eviction is the group of the kinds with so many sessions that others are evicted.
const eviction = "eviction"

// abandoned is how many sessions are opened and abandoned: 10,000 in a soak.
var abandoned = map[bool]int{false: 2000, true: 10_000}[harness.Soak()]

// pollsUntilGone posts until the session has ended.
func (a attacker) pollsUntilGone(path string) string {
	for {
		if status, _ := a.request("POST", path, strings.NewReader(unknownEvent)); status != http.StatusOK {
			return ends
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// endless is an endless body.
type endless struct{}

func (*endless) Read(b []byte) (int, error) { return len(b), nil }
