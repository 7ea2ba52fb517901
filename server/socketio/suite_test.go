package socketio_test

import (
	"bytes"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"counting/server/engineio"
	"counting/server/socketio"

	"github.com/gorilla/websocket"
)

const timeout = 10 * time.Second

// client is a WebSocket to a server that runs the application of the example.
type client struct {
	testing.TB
	conn *websocket.Conn
}

func dial(t testing.TB) client {
	t.Helper()
	app := socketio.New(map[string]socketio.Handler{"/": chat{}, "/custom": chat{}}, engineio.Options{})
	t.Cleanup(app.Close)
	server := httptest.NewServer(app)
	t.Cleanup(server.Close)
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := client{t, conn}
	c.expect(`0{`)
	return c
}

func (c client) send(packets ...any) {
	c.Helper()
	for _, packet := range packets {
		kind, data := websocket.TextMessage, []byte(nil)
		switch packet := packet.(type) {
		case string:
			data = []byte(packet)
		case []byte:
			kind, data = websocket.BinaryMessage, packet
		}
		if err := c.conn.WriteMessage(kind, data); err != nil {
			c.Fatal(err)
		}
	}
}

// expect fails unless these packets arrive: text with that prefix, or bytes.
func (c client) expect(packets ...any) {
	c.Helper()
	for _, want := range packets {
		c.conn.SetReadDeadline(time.Now().Add(timeout))
		kind, got, err := c.conn.ReadMessage()
		if err != nil {
			c.Fatalf("%v came in place of %q", err, want)
		}
		switch want := want.(type) {
		case string:
			if kind != websocket.TextMessage || !strings.HasPrefix(string(got), want) {
				c.Fatalf("%q came in place of %q", got, want)
			}
		case []byte:
			if kind != websocket.BinaryMessage || !bytes.Equal(got, want) {
				c.Fatalf("%q came in place of the bytes %q", got, want)
			}
		}
	}
}

// The cases of the official Socket.IO 5 test suite about packets. This package differs
// where python-socketio does: malformed packets are ignored, and a namespace is refused
// with another message.
func TestOfficialSuite(t *testing.T) {
	t.Parallel()
	const last, answer = `42["message","still here"]`, `42["message-back","still here"]`
	joinMain := []any{"40"}
	mainJoined := []any{`40{"sid":"`, `42["auth",{}]`}
	for _, tt := range []struct {
		name   string
		send   []any
		expect []any
	}{
		{"connects to the main namespace", joinMain, mainJoined},
		{"connects to the main namespace with a payload", []any{`40{"token":"123"}`}, []any{`40{"sid":"`, `42["auth",{"token":"123"}]`}},
		{"connects to a custom namespace", []any{"40/custom,"}, []any{`40/custom,{"sid":"`, `42/custom,["auth",{}]`}},
		{"connects to a custom namespace with a payload", []any{`40/custom,{"token":"abc"}`}, []any{`40/custom,{"sid":"`, `42/custom,["auth",{"token":"abc"}]`}},
		{"is refused on an unknown namespace", []any{"40/random"}, []any{`44/random,"Unable to connect"`}},
		{"an invalid handshake is ignored", []any{"4abc", "40"}, mainJoined},
		{"leaves a custom namespace and stays in the main one",
			[]any{"40", "40/custom", "41/custom", `42/custom,["message","not heard"]`},
			slices.Concat(mainJoined, []any{`40/custom,`, `42/custom,["auth",{}]`})},
		{"sends a plain-text packet", []any{"40", `42["message",1,"2",{"3":[true]}]`}, slices.Concat(mainJoined, []any{`42["message-back",1,"2",{"3":[true]}]`})},
		{"sends a packet with binary attachments",
			[]any{"40", `452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, []byte{1, 2, 3}, []byte{4, 5, 6}},
			slices.Concat(mainJoined, []any{`452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, []byte{1, 2, 3}, []byte{4, 5, 6}})},
		{"sends a plain-text packet with an ack", []any{"40", `42456["message-with-ack",1,"2",{"3":[false]}]`}, slices.Concat(mainJoined, []any{`43456[1,"2",{"3":[false]}]`})},
		{"sends a packet with binary attachments and an ack",
			[]any{"40", `452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, []byte{1, 2, 3}, []byte{4, 5, 6}},
			slices.Concat(mainJoined, []any{`462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, []byte{1, 2, 3}, []byte{4, 5, 6}})},
		{"is asked for an ack", []any{"40", `42["ask-me"]`, `431["well"]`}, slices.Concat(mainJoined, []any{`421["question","how are you?"]`, `42["answered","well"]`})},
		{"an ack that nobody asked for is ignored", []any{"40", `437["well"]`, `43["well"]`, `461-1[{"_placeholder":true,"num":0}]`, []byte{1}}, mainJoined},
		{"an unknown packet type is ignored", []any{"40", "4abc"}, mainJoined},
		{"an invalid payload is ignored", []any{"40", "42{}"}, mainJoined},
		{"an invalid ack id is ignored", []any{"40", `42abc["message-with-ack",1]`}, mainJoined},
		{"attachments that do not come are forgotten", []any{"40", `452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, []byte{1}}, mainJoined},
		{"bytes that nobody announced are ignored", []any{"40", []byte{1, 2, 3}}, mainJoined},
		{"a second CONNECT is refused", []any{"40", "40"}, []any{`40{"sid":"`, `42["auth",{}]`, `44"Unable to connect"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := dial(t)
			for i, packet := range tt.send {
				c.send(packet)
				if s, ok := packet.(string); ok && strings.HasPrefix(s, "40") && i+1 < len(tt.send) && i < len(tt.expect) {
					c.expect(tt.expect[:2]...) // joined, before it goes on
					tt.expect = tt.expect[2:]
				}
			}
			c.expect(tt.expect...)
			if !strings.Contains(tt.send[0].(string), "40/") {
				c.send(last)
				c.expect(answer)
			} else {
				c.send("40")
				c.expect(`40{"sid":"`)
			}
		})
	}
}
