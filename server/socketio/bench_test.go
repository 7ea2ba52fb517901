package socketio

import (
	"log/slog"
	"testing"

	"counting/server/protocol"

	"github.com/zishang520/engine.io/v2/events"
	"github.com/zishang520/engine.io/v2/types"
)

const numberPacket = `257["number",{"client_id":"client1","number":57}]`

// BenchmarkParse is a number's packet, from its text to its number.
func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		p, err := parsePacket(numberPacket)
		if err != nil {
			b.Fatal(err)
		}
		e, err := p.event()
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := protocol.ParseNumber(e.Args, false); err != nil {
			b.Fatal(err)
		}
	}
}

// counter is a Handler that counts numbers.
type counter struct{ numbers int }

func (*counter) Connect(*Session)        {}
func (c *counter) Event(*Session, Event) { c.numbers++ }
func (*counter) Heartbeat(*Session)      {}
func (*counter) Disconnect(*Session)     {}

// BenchmarkDecoder is a number's packet, from the library to the Handler.
func BenchmarkDecoder(b *testing.B) {
	b.ReportAllocs()
	handler := new(counter)
	d := &decoder{EventEmitter: events.New(), server: &Server{handler: handler, log: slog.New(slog.DiscardHandler)}, session: new(Session)}
	sent := 0
	for b.Loop() {
		d.Add(types.NewStringBufferString(numberPacket))
		sent++
	}
	if handler.numbers != sent {
		b.Fatalf("%d of %d numbers came", handler.numbers, sent)
	}
}
