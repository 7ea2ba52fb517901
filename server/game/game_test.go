package game

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"counting/server/protocol"
)

// step is one event and the effects that must come of it.
type step struct {
	event string
	do    func(g *Game) []Effect
	want  []Effect
}

func connect(s Session, want ...Effect) step {
	return step{"connect " + string(s), func(g *Game) []Effect { return g.Connect(s) }, want}
}

func disconnect(s Session, want ...Effect) step {
	return step{"disconnect " + string(s), func(g *Game) []Effect { return g.Disconnect(s) }, want}
}

func giveUp(s Session, want ...Effect) step {
	return step{"give up " + string(s), func(g *Game) []Effect { return g.GiveUp(s) }, want}
}

func number(s Session, clientID string, n float64, id AckID, want ...Effect) step {
	return step{fmt.Sprintf("number %v from %s", n, s), func(g *Game) []Effect { return g.Number(s, clientID, n, id) }, want}
}

func written(line int64, want ...Effect) step {
	return step{fmt.Sprintf("written %d", line), func(g *Game) []Effect { return g.Written(line) }, want}
}

func assign(s Session, seat protocol.Seat, next float64) []Effect {
	return []Effect{
		Seated{s, seat},
		Emit{s, protocol.ClientAssigned, protocol.Assignment{ClientID: seat.String(), LastNumber: whole(next)}},
	}
}

func start(s Session) Effect { return Emit{s, protocol.StartGame, nil} }
func stop(s Session) Effect  { return Emit{s, protocol.StopGame, nil} }

// seated are the events that put A on client1 and B on client2 of a new game.
func seated(next1, next2 float64) []step {
	return []step{
		connect("A", append(assign("A", protocol.Client1, next1), Admit{"A"})...),
		connect("B", append(assign("B", protocol.Client2, next2), start("A"), start("B"), Admit{"B"})...),
	}
}

func play(t *testing.T, g *Game, steps []step) {
	t.Helper()
	for i, s := range steps {
		got := s.do(g)
		if len(got) == 0 && len(s.want) == 0 {
			continue
		}
		if !reflect.DeepEqual(got, s.want) {
			t.Fatalf("step %d, %s:\n got %s\nwant %s", i+1, s.event, list(got), list(s.want))
		}
	}
}

func list(effects []Effect) string {
	var b strings.Builder
	for _, e := range effects {
		fmt.Fprintf(&b, "\n\t%T%+v", e, e)
	}
	return b.String()
}

func TestGame(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		lines int64
		steps []step
	}{
		{"a_client_gets_its_seat_and_next_number_before_it_is_admitted", 0, seated(1, 2)},
		{"the_count_goes_on_after_an_odd_file", 57, seated(59, 58)},
		{"the_count_goes_on_after_an_even_file", 56, seated(57, 58)},
		{"numbers_in_turn_are_appended_and_acked_once_written", 0, append(seated(1, 2),
			number("A", "client1", 1, "0", Received{"A", "client1", 1}, Append{1, 1}),
			written(1, Ack{"A", "0", ""}),
			number("B", "client2", 2, "7", Received{"B", "client2", 2}, Append{2, 2}),
			written(2, Ack{"B", "7", ""}),
		)},
		{"a_number_ahead_of_its_turn_waits_for_the_other_seat", 0, append(seated(1, 2),
			number("B", "client2", 2, "1", Received{"B", "client2", 2}),
			number("B", "client2", 4, "2", Received{"B", "client2", 4}),
			number("A", "client1", 1, NoAck, Received{"A", "client1", 1}, Append{1, 1}, Append{2, 2}),
			written(2, Ack{"B", "1", ""}),
			number("A", "client1", 3, NoAck, Received{"A", "client1", 3}, Append{3, 3}, Append{4, 4}),
			written(4, Ack{"B", "2", ""}),
		)},
		{"a_number_vouches_for_the_lost_ones_before_it", 0, append(seated(1, 2),
			number("A", "client1", 5, NoAck, Received{"A", "client1", 5}, Append{1, 1}),
			number("B", "client2", 6, NoAck, Received{"B", "client2", 6}, Append{2, 2}, Append{3, 3}, Append{4, 4}, Append{5, 5}, Append{6, 6}),
		)},
		{"a_repetition_of_a_written_number_is_acked_at_once", 2, append(seated(3, 4),
			number("A", "client1", 1, "3", Repeated{"A", "client1", 1}, Ack{"A", "3", ""}),
		)},
		{"a_repetition_of_an_unwritten_number_is_acked_when_it_is_written", 2, append(seated(3, 4),
			number("A", "client1", 3, "1", Received{"A", "client1", 3}, Append{3, 3}),
			number("A", "client1", 3, "2", Repeated{"A", "client1", 3}),
			written(3, Ack{"A", "1", ""}, Ack{"A", "2", ""}),
		)},
		{"a_number_without_an_ack_id_is_not_acked", 0, append(seated(1, 2),
			number("A", "client1", 1, NoAck, Received{"A", "client1", 1}, Append{1, 1}),
			written(1),
		)},
		{"a_new_client_resumes_where_its_seat_was", 0, append(seated(1, 2),
			number("A", "client1", 1, NoAck, Received{"A", "client1", 1}, Append{1, 1}),
			disconnect("A", Left{"A", protocol.Client1}, Alone{}, stop("A"), stop("B")),
			connect("C", append(assign("C", protocol.Client1, 3), start("B"), start("C"), Admit{"C"})...),
		)},
		{"client1_is_given_away_first", 0, append(seated(1, 2),
			disconnect("B", Left{"B", protocol.Client2}, Alone{}, stop("A"), stop("B")),
			disconnect("A", Left{"A", protocol.Client1}, Alone{}, stop("A")),
			connect("B", append(assign("B", protocol.Client1, 1), Admit{"B"})...),
		)},
		{"a_third_client_is_held_and_takes_the_seat_that_falls_free", 0, append(seated(1, 2),
			connect("C", Full{"C"}, Hold{"C"}),
			connect("D", Full{"D"}, Hold{"D"}),
			disconnect("B", append(append([]Effect{Left{"B", protocol.Client2}, Alone{}, stop("A"), stop("B")},
				assign("C", protocol.Client2, 2)...), start("A"), start("C"), Admit{"C"})...),
			giveUp("C"),
			giveUp("D", Refuse{"D", "both seats are taken"}),
			giveUp("D"),
		)},
		{"a_held_client_that_leaves_is_told_of_by_nobody", 0, append(seated(1, 2),
			connect("C", Full{"C"}, Hold{"C"}),
			disconnect("C"),
			disconnect("A", Left{"A", protocol.Client1}, Alone{}, stop("A"), stop("B")),
		)},
		{"a_session_joins_once_and_leaves_once", 0, append(seated(1, 2),
			connect("A"),
			disconnect("A", Left{"A", protocol.Client1}, Alone{}, stop("A"), stop("B")),
			disconnect("A"),
			disconnect("nobody"),
		)},
		{"acks_owed_to_a_session_that_left_are_forgotten", 0, append(seated(1, 2),
			number("B", "client2", 2, "1", Received{"B", "client2", 2}),
			disconnect("B", Left{"B", protocol.Client2}, Alone{}, stop("A"), stop("B")),
			number("A", "client1", 1, "1", Received{"A", "client1", 1}, Append{1, 1}, Append{2, 2}),
			written(2, Ack{"A", "1", ""}),
		)},
		{"what_cannot_be_is_refused_and_changes_nothing", 0, append(seated(1, 2),
			number("A", "client1", 2, "1", refused("A", "1", WrongParity, "number 2 is not one of client1's")...),
			number("A", "client1", 1.5, "2", refused("A", "2", NotWhole, "number 1.5 is not whole")...),
			number("A", "client1", -1, "3", refused("A", "3", BelowOne, "number -1 is below 1")...),
			number("A", "client1", 0, "4", refused("A", "4", BelowOne, "number 0 is below 1")...),
			number("A", "client1", 10001, "5", refused("A", "5", TooFarAhead, "number 10001 is more than 10000 ahead of the file, which is at 0")...),
			number("A", "client2", 2, "6", refused("A", "6", NotItsSeat, "the session does not hold the seat client2")...),
			number("A", "bob", 1, "7", refused("A", "7", NoSuchSeat, `there is no seat "bob"`)...),
			number("C", "client1", 1, "8", refused("C", "8", NotJoined, "the session has not joined the game")...),
			number("A", "client1", 2, NoAck, Refused{"A", WrongParity, "number 2 is not one of client1's"}),
			step{"malformed", func(g *Game) []Effect { return g.Malformed("A", "it is odd", "9") }, refused("A", "9", Malformed, "it is odd")},
			number("A", "client1", 1, NoAck, Received{"A", "client1", 1}, Append{1, 1}),
			number("B", "client2", 10000, NoAck, Received{"B", "client2", 10000}, Append{2, 2}),
		)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			play(t, New(tt.lines), tt.steps)
		})
	}
}

func refused(s Session, id AckID, code Code, reason string) []Effect {
	return []Effect{Refused{s, code, reason}, Ack{s, id, reason}}
}

func TestFaithful(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		steps []step
	}{
		{"numbers_are_written_as_they_come_whoever_sends_them", append(seated(1, 2),
			number("B", "client2", 2, "1", Received{"B", "client2", 2}, Append{1, 2}),
			written(1, Ack{"B", "1", ""}),
			number("B", "client1", 1.5, "2", Received{"B", "client1", 1.5}, Append{2, 1.5}),
			number("A", "bob", -7, NoAck, Received{"A", "bob", -7}, Append{3, -7}),
			number("A", "client1", 41, "3", Received{"A", "client1", 41}, Append{4, 41}),
			number("A", "client1", 41, "4", Received{"A", "client1", 41}, Append{5, 41}),
			written(5, Ack{"B", "2", ""}, Ack{"A", "3", ""}, Ack{"A", "4", ""}),
			disconnect("A", Left{"A", protocol.Client1}, Alone{}, stop("A"), stop("B")),
			connect("C", append(assign("C", protocol.Client1, 43), start("B"), start("C"), Admit{"C"})...),
		)},
		{"a_third_client_is_admitted_and_idles_for_good", append(seated(1, 2),
			connect("C", Full{"C"}, Admit{"C"}),
			number("C", "client1", 41, "1", Received{"C", "client1", 41}, Append{1, 41}),
			disconnect("B", Left{"B", protocol.Client2}, Alone{}, stop("A"), stop("B"), stop("C")),
			connect("D", append(assign("D", protocol.Client2, 2), start("A"), start("C"), start("D"), Admit{"D"})...),
			disconnect("C"), // both seats are taken: nobody is told
		)},
		{"a_client_without_a_seat_stops_a_game_that_does_not_run", append(seated(1, 2),
			connect("C", Full{"C"}, Admit{"C"}),
			disconnect("B", Left{"B", protocol.Client2}, Alone{}, stop("A"), stop("B"), stop("C")),
			disconnect("C", Alone{}, stop("A"), stop("C")),
		)},
		{"a_number_that_cannot_be_is_not_acked", append(seated(1, 2),
			number("C", "client1", 1, "1", Refused{"C", NotJoined, "the session has not joined the game"}),
			step{"malformed", func(g *Game) []Effect { return g.Malformed("A", "it is odd", "9") }, []Effect{Refused{"A", Malformed, "it is odd"}}},
		)},
		{"a_line_that_was_dropped_is_not_acked", append(seated(1, 2),
			number("A", "client1", 1, "1", Received{"A", "client1", 1}, Append{1, 1}),
			step{"dropped 1", func(g *Game) []Effect { g.Dropped(1); return nil }, nil},
			number("A", "client1", 3, "2", Received{"A", "client1", 3}, Append{2, 3}),
			written(2, Ack{"A", "2", ""}),
		)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			play(t, NewFaithful(), tt.steps)
		})
	}
}

func TestASessionIsOwedABoundedNumberOfAcks(t *testing.T) {
	t.Parallel()
	g := New(0)
	g.Connect("A")
	g.Connect("B")
	for range MaxUnacked {
		g.Number("B", "client2", 2, "1")
	}
	got := g.Number("B", "client2", 2, "1")
	want := refused("B", "1", TooManyAcks, "the session already waits for 20000 acks")
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %s\nwant %s", list(got), list(want))
	}
	g.Number("A", "client1", 1, NoAck)
	if got := g.Written(2); len(got) != MaxUnacked {
		t.Fatalf("%d acks came, want %d", len(got), MaxUnacked)
	}
	if got := g.Number("B", "client2", 2, "1"); !reflect.DeepEqual(got, []Effect{Repeated{"B", "client2", 2}, Ack{"B", "1", ""}}) {
		t.Fatalf("after the acks the session is still refused: %s", list(got))
	}
	if len(g.owed) != 0 || len(g.unacked) != 0 {
		t.Fatalf("the game still holds acks: %v, %v", g.owed, g.unacked)
	}
}

// FuzzOneRule plays games of random events and holds the appended lines to the
// one rule: line n is n, whatever the sessions do.
func FuzzOneRule(f *testing.F) {
	f.Add([]byte{0, 1, 0x21, 0x42, 0x63, 0x10, 2, 0x85})
	f.Fuzz(func(t *testing.T, events []byte) {
		const lines = 3
		g, next := New(lines), int64(lines)
		for i, e := range events {
			s := Session([]string{"A", "B", "C"}[int(e>>2)%3])
			var effects []Effect
			switch e & 3 {
			case 0:
				effects = g.Connect(s)
			case 1:
				effects = g.Disconnect(s)
			default:
				effects = g.Number(s, protocol.Seat(1+e&1).String(), float64(int64(e>>4)+next-6), AckID(fmt.Sprint(i)))
			}
			for _, effect := range effects {
				if a, ok := effect.(Append); ok {
					next++
					if a.Line != next || a.Number != float64(next) {
						t.Fatalf("event %d appended line %d as %v, want %d", i, a.Line, a.Number, next)
					}
				}
			}
			if e&0x80 != 0 {
				g.Written(next)
			}
		}
	})
}
