package game

import (
	"errors"
	"fmt"
	"testing"

	"counting/server/protocol"
)

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
			number("A", "client1", 1, "0", Received{"A", num("client1", 1)}, Append{1}),
			written(1, Ack{Session: "A", ID: "0"}),
			number("B", "client2", 2, "7", Received{"B", num("client2", 2)}, Append{2}),
			written(2, Ack{Session: "B", ID: "7"}),
		)},
		{"a_number_ahead_of_its_turn_waits_for_the_other_seat", 0, append(seated(1, 2),
			number("B", "client2", 2, "1", Received{"B", num("client2", 2)}),
			number("B", "client2", 4, "2", Received{"B", num("client2", 4)}),
			number("A", "client1", 1, NoAck, Received{"A", num("client1", 1)}, Append{2}),
			written(2, Ack{Session: "B", ID: "1"}),
			number("A", "client1", 3, NoAck, Received{"A", num("client1", 3)}, Append{4}),
			written(4, Ack{Session: "B", ID: "2"}),
		)},
		{"a_number_vouches_for_the_lost_ones_before_it", 0, append(seated(1, 2),
			number("A", "client1", 5, NoAck, Received{"A", num("client1", 5)}, Append{1}),
			number("B", "client2", 6, NoAck, Received{"B", num("client2", 6)}, Append{6}),
		)},
		{"a_repetition_of_a_written_number_is_acked_at_once", 2, append(seated(3, 4),
			number("A", "client1", 1, "3", Repeated{"A", num("client1", 1)}, Ack{Session: "A", ID: "3"}),
		)},
		{"a_repetition_of_an_unwritten_number_is_acked_when_it_is_written", 2, append(seated(3, 4),
			number("A", "client1", 3, "1", Received{"A", num("client1", 3)}, Append{3}),
			number("A", "client1", 3, "2", Repeated{"A", num("client1", 3)}),
			written(3, Ack{Session: "A", ID: "1"}, Ack{Session: "A", ID: "2"}),
		)},
		{"a_number_without_an_ack_id_is_not_acked", 0, append(seated(1, 2),
			number("A", "client1", 1, NoAck, Received{"A", num("client1", 1)}, Append{1}),
			written(1),
		)},
		{"a_new_client_resumes_where_its_seat_was", 0, append(seated(1, 2),
			number("A", "client1", 1, NoAck, Received{"A", num("client1", 1)}, Append{1}),
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
			number("B", "client2", 2, "1", Received{"B", num("client2", 2)}),
			disconnect("B", Left{"B", protocol.Client2}, Alone{}, stop("A"), stop("B")),
			number("A", "client1", 1, "1", Received{"A", num("client1", 1)}, Append{1}),
			written(1, Ack{Session: "A", ID: "1"}),
		)},
		{"what_a_session_reported_beyond_the_file_is_forgotten_when_it_ends", 0, append(seated(1, 2),
			number("A", "client1", 9999, "1", Received{"A", num("client1", 9999)}, Append{1}),
			disconnect("A", Left{"A", protocol.Client1}, Alone{}, stop("A"), stop("B")),
			connect("C", append(assign("C", protocol.Client1, 3), start("B"), start("C"), Admit{"C"})...),
			number("B", "client2", 10000, NoAck, Received{"B", num("client2", 10000)}, Append{2}),
			number("C", "client1", 3, NoAck, Received{"C", num("client1", 3)}, Append{4}),
			disconnect("B", Left{"B", protocol.Client2}, Alone{}, stop("B"), stop("C")),
			number("C", "client1", 9, NoAck, Received{"C", num("client1", 9)}, Append{5}), // it implies client1's earlier numbers
			connect("D", append(assign("D", protocol.Client2, 6), start("C"), start("D"), Admit{"D"})...),
			number("D", "client2", 8, NoAck, Received{"D", num("client2", 8)}, Append{9}),
		)},
		{"a_seat_goes_first_to_an_address_that_has_none_and_had_not_this_one", 0, []step{
			connectFrom("a", "A", append(assign("A", protocol.Client1, 1), Admit{"A"})...),
			connectFrom("b", "B", append(assign("B", protocol.Client2, 2), start("A"), start("B"), Admit{"B"})...),
			connectFrom("a", "A2", Full{"A2"}, Hold{"A2"}),
			connectFrom("b", "B2", Full{"B2"}, Hold{"B2"}),
			connectFrom("c", "C", Full{"C"}, Hold{"C"}),
			connectFrom("c", "C2", Full{"C2"}, Hold{"C2"}),
			connectFrom("d", "D", Full{"D"}, Hold{"D"}),
			disconnect("A", append(append([]Effect{Left{"A", protocol.Client1}, Alone{}, stop("A"), stop("B")},
				assign("C", protocol.Client1, 1)...), start("B"), start("C"), Admit{"C"})...),
			giveUp("D", Refuse{"D", "both seats are taken"}),
			connectFrom("d", "D2", Full{"D2"}, Hold{"D2"}), // asking again puts it last
			connectFrom("e", "E", Full{"E"}, Hold{"E"}),
			disconnect("B", append(append([]Effect{Left{"B", protocol.Client2}, Alone{}, stop("B"), stop("C")},
				assign("A2", protocol.Client2, 2)...), start("C"), start("A2"), Admit{"A2"})...),
			disconnect("C", append(append([]Effect{Left{"C", protocol.Client1}, Alone{}, stop("C"), stop("A2")},
				assign("B2", protocol.Client1, 1)...), start("A2"), start("B2"), Admit{"B2"})...),
		}},
		{"where_all_who_wait_have_the_other_seat_it_is_first_come_first_served", 0, []step{
			connectFrom("a", "A", append(assign("A", protocol.Client1, 1), Admit{"A"})...),
			connectFrom("b", "B", append(assign("B", protocol.Client2, 2), start("A"), start("B"), Admit{"B"})...),
			connectFrom("b", "B2", Full{"B2"}, Hold{"B2"}),
			connectFrom("a", "A2", Full{"A2"}, Hold{"A2"}),
			disconnect("A", append(append([]Effect{Left{"A", protocol.Client1}, Alone{}, stop("A"), stop("B")},
				assign("B2", protocol.Client1, 1)...), start("B"), start("B2"), Admit{"B2"})...),
		}},
		{"what_cannot_be_is_refused_and_changes_nothing", 0, append(seated(1, 2),
			refuse("A", num("client1", 2), "1", WrongParity, "number 2 is not one of client1's"),
			refuse("A", num("client1", 1.5), "2", NotWhole, "number 1.5 is not whole"),
			refuse("A", num("client1", -1), "3", BelowOne, "number -1 is below 1"),
			refuse("A", num("client1", 0), "4", BelowOne, "number 0 is below 1"),
			refuse("A", num("client1", 10001), "5", TooFarAhead, "number 10001 is more than 10000 ahead of the file, which is at 0"),
			refuse("A", num("client2", 2), "6", NotItsSeat, "the session does not hold the seat client2"),
			refuse("A", num("bob", 1), "7", NoSuchSeat, `there is no seat "bob"`),
			refuse("C", num("client1", 1), "8", NotJoined, "the session has not joined the game"),
			refuse("A", num("client1", 2), NoAck, WrongParity, "number 2 is not one of client1's"),
			refuse("A", Number{Err: errors.New("it is odd")}, "9", Malformed, "it is odd"),
			refuse("A", Number{ClientID: "client1", Value: protocol.Int(1<<53 + 1)}, "10", TooFarAhead, "number 9007199254740993 is more than 10000 ahead of the file, which is at 0"),
			refuse("A", Number{ClientID: "client1", Value: protocol.Float(1e300)}, "11", TooFarAhead, "number 1e+300 is more than 10000 ahead of the file, which is at 0"),
			refuse("A", Number{ClientID: "client1", Value: protocol.Float(-1e300)}, "12", BelowOne, "number -1e+300 is below 1"),
			number("A", "client1", 1, NoAck, Received{"A", num("client1", 1)}, Append{1}),
			number("B", "client2", 10000, NoAck, Received{"B", num("client2", 10000)}, Append{2}),
		)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			play(t, New(tt.lines), tt.steps)
		})
	}
}

// refuse is a number that is refused, with the reason; in default mode with an ack if
// it asks for one. A holds seat client1, B client2.
func refuse(s Session, n Number, id AckID, code Code, reason string) step {
	held := map[Session]protocol.Seat{"A": protocol.Client1, "B": protocol.Client2}
	r := Refused{Session: s, Seat: held[s], Code: code, Number: n}
	want := []Effect{r}
	if id != NoAck {
		want = append(want, Ack{s, id, &r})
	}
	return step{"refused " + reason, func(g rules) []Effect {
		effects := g.Number(s, n, id)
		if len(effects) > 0 {
			if got, ok := effects[0].(Refused); ok && got.Reason() != reason {
				return append(effects, Refused{Code: Code(got.Reason())}) // differs from want
			}
		}
		return effects
	}, want}
}

func TestTurn(t *testing.T) {
	t.Parallel()
	g := New(0)
	check := func(when string, want Turn) {
		t.Helper()
		if got := g.Turn(); got != want {
			t.Errorf("%s: %+v, want %+v", when, got, want)
		}
	}
	g.Connect("A", "")
	check("one seat is free", Turn{})
	g.Connect("B", "")
	check("nobody has counted", Turn{Session: "A"})
	g.Number("B", num("client2", 2), NoAck)
	check("client2 waits", Turn{Session: "A", Awaited: true})
	g.Number("A", num("client1", 1), NoAck)
	check("both have counted", Turn{Session: "A", Heard: true})
	g.Number("A", num("client1", 3), NoAck)
	check("it is client2's turn", Turn{Session: "B", Heard: true})
	g.Number("A", num("client1", 5), NoAck)
	check("client1 waits", Turn{Session: "B", Heard: true, Awaited: true})
	g.Disconnect("B")
	g.Connect("C", "")
	check("a new client", Turn{Session: "C", Awaited: true})
	if got := NewFaithful().Turn(); got != (Turn{}) {
		t.Errorf("in faithful mode: %+v", got)
	}
}

func TestTheCountEnds(t *testing.T) {
	t.Parallel()
	beyond := func(s Session, clientID string, n float64) *Refused {
		return &Refused{s, protocol.SeatNamed(clientID), BeyondTheEnd, num(clientID, n), 4}
	}
	tests := []struct {
		name  string
		last  int64
		steps []step
	}{
		{"a client that connects after the last number gets no start_game", 2, append(seated(3, 4),
			number("A", "client1", 3, "", Received{"A", num("client1", 3)}, Append{3}),
			number("B", "client2", 4, "", Received{"B", num("client2", 4)}, Append{4}),
			written(4),
			disconnect("B", Left{"B", protocol.Client2}, Alone{}, stop("A"), stop("B")),
			connect("C", append(assign("C", protocol.Client2, 6), Admit{"C"})...),
			number("C", "client2", 4, "1", Repeated{"C", num("client2", 4)}, Ack{Session: "C", ID: "1"}),
			number("C", "client2", 6, "2", *beyond("C", "client2", 6), Ack{"C", "2", beyond("C", "client2", 6)}),
		)},
		{"a file that holds the last number", 4, []step{
			connect("A", append(assign("A", protocol.Client1, 5), Admit{"A"})...),
			connect("B", append(assign("B", protocol.Client2, 6), Admit{"B"})...),
			number("A", "client1", 5, "", *beyond("A", "client1", 5)),
		}},
		{"a file that holds more", 7, []step{
			connect("A", append(assign("A", protocol.Client1, 9), Admit{"A"})...),
			connect("B", append(assign("B", protocol.Client2, 8), Admit{"B"})...),
		}},
		{"one seat has counted all of its numbers", 2, append(seated(3, 4),
			number("A", "client1", 3, "", Received{"A", num("client1", 3)}, Append{3}),
			disconnect("A", Left{"A", protocol.Client1}, Alone{}, stop("A"), stop("B")),
			connect("C", append(assign("C", protocol.Client1, 5), start("B"), start("C"), Admit{"C"})...),
		)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := New(tt.last)
			g.EndAt(4)
			play(t, g, tt.steps)
			if turn := g.Turn(); g.over && turn != (Turn{}) {
				t.Errorf("all is counted, and it is %+v", turn)
			}
		})
	}
}

// FuzzOneRule plays games of random events. It checks that each number is appended once
// and in order, and that an ack without an error is sent once, to the session that
// asked for it, and only after the file holds its number.
func FuzzOneRule(f *testing.F) {
	f.Add([]byte{0, 1, 0x21, 0x42, 0x63, 0x10, 2, 0x85})
	f.Fuzz(func(t *testing.T, events []byte) {
		const lines = 3
		g, appended, written := New(lines), int64(lines), int64(lines)
		type packet struct {
			s  Session
			id AckID
		}
		asked := make(map[packet]int64) // the numbers whose acks are pending
		check := func(i int, effects []Effect) {
			for _, effect := range effects {
				switch e := effect.(type) {
				case Append:
					if e.UpTo <= appended || e.UpTo > written+Ahead {
						t.Fatalf("event %d appends up to %d after %d, with %d written", i, e.UpTo, appended, written)
					}
					appended = e.UpTo
				case Ack:
					n, ok := asked[packet{e.Session, e.ID}]
					delete(asked, packet{e.Session, e.ID})
					if !ok {
						t.Fatalf("event %d acks %s of %s, which nobody waits for", i, e.ID, e.Session)
					}
					if e.Refused == nil && n > written {
						t.Fatalf("event %d acks %d, and only %d are written", i, n, written)
					}
				}
			}
		}
		for i, e := range events {
			s := Session([]string{"A", "B", "C"}[int(e>>2)%3])
			switch e & 3 {
			case 0:
				check(i, g.Connect(s, string(s[0]|e&0x10)))
			case 1:
				check(i, g.Disconnect(s))
				for p := range asked {
					if p.s == s {
						delete(asked, p) // it is not acked any more
					}
				}
			default:
				n, id := int64(e>>4)+appended-5, AckID(fmt.Sprint(i))
				asked[packet{s, id}] = n
				check(i, g.Number(s, Number{ClientID: protocol.Seat(1 + e&1).String(), Value: protocol.Int(n)}, id))
			}
			if e&0x80 != 0 && written < appended {
				written += 1 + int64(e)%(appended-written)
				check(i, acked(g, written))
			}
		}
		written = appended
		check(len(events), acked(g, written))
		for p, n := range asked {
			if n <= written {
				t.Fatalf("%d is written, and packet %s of %s is not acked", n, p.id, p.s)
			}
		}
	})
}

// The memory for the effects of a step is used again, unless there were many.
func TestAGameKeepsNoMemoryForManyEffects(t *testing.T) {
	t.Parallel()
	for _, size := range []int{maxKept, maxKept + 1} {
		g := newSeats()
		g.effects = make([]Effect, 1, size)
		g.begin()
		if kept := cap(g.effects) == size; kept != (size == maxKept) || len(g.effects) > 0 {
			t.Errorf("the game keeps the memory for %d effects: %t, with %d effects", size, kept, len(g.effects))
		}
	}
}
