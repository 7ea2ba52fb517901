package socketio

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// doorman is a Handler that admits everybody and panics on command.
type doorman struct{}

func (doorman) Connect(s *Session) { s.Admit() }
func (doorman) Number(s *Session, clientID string, _ float64, ackID string) {
	if clientID == "panic" {
		panic("as told")
	}
	s.Ack(ackID)
}
func (doorman) Malformed(*Session, string, string) { panic("as told") }
func (doorman) Heartbeat(*Session)                 { panic("as told") }
func (doorman) Disconnect(*Session)                { panic("as told") }

// A panic of a handler ended the process: the library runs it in a goroutine
// of its own.
func TestAPanicOfTheHandlerEndsNothing(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(New(doorman{}, Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}))
	defer server.Close()
	for range 2 { // the second finds the server alive after the first one's Disconnect
		conn, _, err := websocket.DefaultDialer.Dial(strings.Replace(server.URL, "http", "ws", 1)+"/socket.io/?EIO=4&transport=websocket", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, packet := range []string{
			"40",
			`42["number",{"client_id":"panic","number":1}]`,
			`42["number"]`,
			"3",
			`427["number",{"client_id":"client1","number":1}]`,
		} {
			if err := conn.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
				t.Fatal(err)
			}
		}
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		for _, head := range []string{"0{", "40{", "437[]"} {
			_, packet, err := conn.ReadMessage()
			if err != nil || !strings.HasPrefix(string(packet), head) {
				t.Fatalf("%q, %v came in place of %q", packet, err, head)
			}
		}
		conn.Close()
	}
}
