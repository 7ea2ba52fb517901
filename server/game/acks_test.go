package game

import (
	"reflect"
	"slices"
	"testing"

	"counting/server/protocol"
)

// Both modes bound the acks that a session waits for; the original does not.
func TestASessionIsOwedABoundedNumberOfAcks(t *testing.T) {
	t.Parallel()
	g := New(0)
	g.Connect("A", "")
	g.Connect("B", "")
	const half = MaxUnacked / 2
	for _, n := range []float64{2, 4} {
		for range half {
			g.Number("B", num("client2", n), "1")
		}
	}
	play(t, g, []step{
		refuse("B", num("client2", 4), "1", TooManyAcks, "the session already waits for 20000 acks"),
		number("A", "client1", 1, NoAck, Received{"A", num("client1", 1)}, Append{2}),
	})
	if got := acked(g, 2); len(got) != half {
		t.Fatalf("%d acks came, want %d", len(got), half)
	}
	play(t, g, []step{number("B", "client2", 2, "1", Repeated{"B", num("client2", 2)}, Ack{Session: "B", ID: "1"})})
	for range half {
		g.Number("B", num("client2", 4), "1")
	}
	if r, _ := g.Number("B", num("client2", 4), "1")[0].(Refused); r.Code != TooManyAcks {
		t.Errorf("after %d acks of %d came, and as many numbers: %+v", half, MaxUnacked, r)
	}
	if got := g.Taken(); !slices.Equal(got, protocol.Seats[:]) {
		t.Errorf("the seats %v are taken", got)
	}
	g.Disconnect("B")
	if len(g.unacked) != 0 || len(g.count) != 0 {
		t.Fatalf("the game still holds acks: %v, %v", g.unacked, g.count)
	}

	f := NewFaithful()
	f.Connect("A", "")
	for range MaxUnacked {
		f.Number("A", num("client1", 1), "1")
	}
	play(t, f, []step{
		number("A", "client1", 1, "1", Refused{"A", protocol.Client1, TooManyAcks, num("client1", 1), 0}),
		number("A", "client1", 1, NoAck, Received{"A", num("client1", 1)}, AppendLine{MaxUnacked + 1, num("client1", 1)}),
	})
	if got := acked(f, MaxUnacked+1); len(got) != MaxUnacked || len(f.unacked) != 0 || len(f.count) != 0 {
		t.Fatalf("%d acks came, want %d; the game still holds %v, %v", len(got), MaxUnacked, f.unacked, f.count)
	}
}

// A map keeps the memory of all that it once held. It is replaced when few of many lines
// are left, or none; one that stayed small is used again.
func TestAGameKeepsNoMemoryForAcksThatCame(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		lines, left int
		end         func(*Game)
		kept        bool
	}{
		{"few were sent", keptLines, 0, func(g *Game) { acked(g, 2*keptLines+1) }, true},
		{"many were sent", keptLines + 1, 0, func(g *Game) { acked(g, 2*keptLines+2) }, false},
		{"the session of few left", keptLines, 0, func(g *Game) { g.Disconnect("A") }, true},
		{"the session of many left", keptLines + 1, 0, func(g *Game) { g.Disconnect("A") }, false},
		{"a quarter is left", 4 * keptLines, keptLines, func(g *Game) { acked(g, 6*keptLines) }, true},
		{"less than a quarter is left", 4 * keptLines, keptLines - 1, func(g *Game) { acked(g, 6*keptLines+2) }, false},
	} {
		g := New(0)
		g.Connect("A", "")
		g.Connect("B", "")
		g.Number("B", num("client2", float64(2*tt.lines)), NoAck)
		for n := range tt.lines {
			g.Number("A", num("client1", float64(2*n+1)), "1")
		}
		grown := reflect.ValueOf(g.unacked).Pointer()
		tt.end(g)
		if kept := reflect.ValueOf(g.unacked).Pointer() == grown; kept != tt.kept || len(g.unacked) != tt.left {
			t.Errorf("%s: the map is kept: %t, with %d lines; want %t and %d", tt.name, kept, len(g.unacked), tt.kept, tt.left)
		}
		if got := acked(g, int64(2*tt.lines)); len(got) != tt.left {
			t.Errorf("%s: then %d acks come, want %d", tt.name, len(got), tt.left)
		}
	}
}
