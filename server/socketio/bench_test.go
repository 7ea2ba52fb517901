package socketio

import (
	"log/slog"
	"testing"

	"counting/server/engineio"
	"counting/server/protocol"
)

const numberPacket = `257["number",{"client_id":"client1","number":57}]`

// BenchmarkParse parses the packet of a number event, and its number.
func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		p, err := parse([]byte(numberPacket))
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := protocol.ParseNumber(p.args.JSON, false); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMessage handles the packet of a number event, from the Engine.IO layer to
// the Handler.
func BenchmarkMessage(b *testing.B) {
	b.ReportAllocs()
	handler := new(witness)
	c := &connection{server: &Server{handlers: map[string]Handler{"/": handler}, options: engineio.Options{Log: slog.New(slog.DiscardHandler)}}}
	c.sessions = []*Session{{connection: c, namespace: "/"}}
	sent := 0
	for b.Loop() {
		c.Message([]byte(numberPacket), false)
		sent++
	}
	if handler.events != sent {
		b.Fatalf("%d of %d numbers came", handler.events, sent)
	}
}
