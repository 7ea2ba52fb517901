package game

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"counting/server/protocol"
)

func TestFaithful(t *testing.T) {
	t.Parallel()
	unspelled := num("client1", 41)
	unspelled.Words = ""
	tests := []struct {
		name  string
		steps []step
	}{
		{"numbers_are_written_as_they_come_whoever_sends_them", append(seated(1, 2),
			number("B", "client2", 2, "1", Received{"B", num("client2", 2)}, AppendLine{1, num("client2", 2)}),
			written(1, Ack{Session: "B", ID: "1"}),
			number("B", "client1", 1.5, "2", Received{"B", num("client1", 1.5)}, AppendLine{2, num("client1", 1.5)}),
			number("A", "bob", -7, NoAck, Received{"A", num("bob", -7)}, AppendLine{3, num("bob", -7)}),
			number("A", "client1", 41, "3", Received{"A", num("client1", 41)}, AppendLine{4, num("client1", 41)}),
			number("A", "client1", 41, "4", Received{"A", num("client1", 41)}, AppendLine{5, num("client1", 41)}),
			written(5, Ack{Session: "B", ID: "2"}, Ack{Session: "A", ID: "3"}, Ack{Session: "A", ID: "4"}),
			disconnect("A", Left{"A", protocol.Client1}, Alone{}, stop("A"), stop("B")),
			connect("C", append(assign("C", protocol.Client1, 43), start("B"), start("C"), Admit{"C"})...),
		)},
		{"a_third_client_is_admitted_and_idles_for_good", append(seated(1, 2),
			connect("C", Full{"C"}, Admit{"C"}),
			number("C", "client1", 41, "1", Received{"C", num("client1", 41)}, AppendLine{1, num("client1", 41)}),
			disconnect("B", Left{"B", protocol.Client2}, Alone{}, stop("A"), stop("B"), stop("C")),
			connect("D", append(assign("D", protocol.Client2, 2), start("A"), start("C"), start("D"), Admit{"D"})...),
			disconnect("C"), // both seats are taken: nobody is sent anything
		)},
		{"a_client_without_a_seat_stops_a_game_that_does_not_run", append(seated(1, 2),
			connect("C", Full{"C"}, Admit{"C"}),
			disconnect("B", Left{"B", protocol.Client2}, Alone{}, stop("A"), stop("B"), stop("C")),
			disconnect("C", Alone{}, stop("A"), stop("C")),
		)},
		{"a_number_that_cannot_be_is_not_acked", append(seated(1, 2),
			number("C", "client1", 1, "1", Refused{"C", protocol.NoSeat, NotJoined, num("client1", 1), 0}),
			broken("A", "9", Refused{"A", protocol.Client1, Malformed, Number{Err: errBroken}, 0}),
		)},
		{"a_number_that_cannot_be_spelled_is_refused_and_its_seat_continues_after_it", append(seated(1, 2),
			number("C", "client1", 51, "1", Refused{"C", protocol.NoSeat, NotJoined, num("client1", 51), 0}), // changes nothing
			step{"not spelled", func(g rules) []Effect { return g.Number("A", unspelled, "1") },
				[]Effect{Refused{"A", protocol.Client1, NotSpelled, unspelled, 0}}},
			disconnect("A", Left{"A", protocol.Client1}, Alone{}, stop("A"), stop("B")),
			connect("C", append(assign("C", protocol.Client1, 43), start("B"), start("C"), Admit{"C"})...),
			number("D", "client1", 51, "1", Refused{"D", protocol.NoSeat, NotJoined, num("client1", 51), 0}),
			disconnect("C", Left{"C", protocol.Client1}, Alone{}, stop("B"), stop("C")),
			connect("E", append(assign("E", protocol.Client1, 43), start("B"), start("E"), Admit{"E"})...),
		)},
		{"a_session_that_has_left_gets_no_ack", append(seated(1, 2),
			number("A", "client1", 1, "1", Received{"A", num("client1", 1)}, AppendLine{1, num("client1", 1)}),
			number("B", "client2", 2, "2", Received{"B", num("client2", 2)}, AppendLine{2, num("client2", 2)}),
			disconnect("A", Left{"A", protocol.Client1}, Alone{}, stop("A"), stop("B")),
			written(2, Ack{Session: "B", ID: "2"}),
		)},
		{"a_line_that_was_dropped_is_not_acked", append(seated(1, 2),
			number("A", "client1", 1, "1", Received{"A", num("client1", 1)}, AppendLine{1, num("client1", 1)}),
			step{"dropped 1", func(g rules) []Effect { g.(*Faithful).Dropped(1); return nil }, nil},
			number("A", "client1", 3, "2", Received{"A", num("client1", 3)}, AppendLine{2, num("client1", 3)}),
			written(2, Ack{Session: "A", ID: "2"}),
		)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			play(t, NewFaithful(), tt.steps)
		})
	}
}

// With a disk that hangs, the lines of faithful mode filled the memory.
func TestFaithfulLinesThatWaitToBeWrittenAreBounded(t *testing.T) {
	t.Parallel()
	g := NewFaithful()
	g.Connect("A", "")
	const lines = 1024
	long := num("client1", 1)
	long.Words = strings.Repeat("x", MaxPending/lines-lineOverhead)
	for n := range int64(lines) {
		want := []Effect{Received{"A", long}, AppendLine{n + 1, long}}
		if diff := cmp.Diff(want, g.Number("A", long, NoAck), unexported); diff != "" {
			t.Fatalf("line %d: want -, got +\n%s", n+1, diff)
		}
	}
	r, _ := g.Number("A", long, NoAck)[0].(Refused)
	if r.Code != TooManyLines || r.Reason() != "4194304 bytes already wait to be written" {
		t.Errorf("refused as %+v", r)
	}
	acked(g, lines/2)
	g.Dropped(lines)
	if g.pending != 0 || len(g.lines) != 0 {
		t.Fatalf("%d bytes of %d lines are still said to wait", g.pending, len(g.lines))
	}
	play(t, g, []step{number("A", "client1", 1, NoAck, Received{"A", num("client1", 1)}, AppendLine{lines + 1, num("client1", 1)})})
}
