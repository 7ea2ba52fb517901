package replay

import (
	"slices"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/siotape/tape"
)

// find returns the index of the n-th line of the server that contains the text.
func find(t *testing.T, r *tape.Recording, text string, nth int) int {
	t.Helper()
	for i, l := range r.Lines {
		if l.From != tape.Client && strings.Contains(l.String(), text) {
			if nth--; nth == 0 {
				return i
			}
		}
	}
	t.Fatalf("%s has no such line: %s", r.Name, text)
	return 0
}

// found fails the test unless a difference contains the text.
func found(t *testing.T, res *Result, want string) {
	t.Helper()
	var all []string
	for _, d := range res.Differences {
		all = append(all, d.String())
	}
	if len(all) == 0 {
		t.Fatal("not found")
	}
	if text := strings.Join(all, "\n"); !strings.Contains(text, want) {
		t.Errorf("found, but not where it is:\n%s\nwant in it: %s", text, want)
	}
}

func TestOneThingChangedIsFound(t *testing.T) {
	t.Parallel()
	packet := func(r *tape.Recording, i int, p string) { r.Lines[i].Packet = &p }
	tests := []struct {
		name, recording string
		change          func(*testing.T, *tape.Recording)
		want            string // in the difference
	}{
		{"an_event_more", "third-client", func(t *testing.T, r *tape.Recording) {
			i := find(t, r, `42["start_game"]`, 1)
			r.Lines = slices.Insert(r.Lines, i, r.Lines[i])
		}, `session B`},
		{"an_event_more_at_the_end", "upgrade-mid-game", func(t *testing.T, r *tape.Recording) {
			i := find(t, r, `431[]`, 1)
			l := r.Lines[i]
			packet(r, i, `42["stop_game"]`)
			r.Lines = slices.Insert(r.Lines, i, l)
		}, "nothing"},
		{"an_event_less", "third-client", func(t *testing.T, r *tape.Recording) {
			i := find(t, r, `42["stop_game"]`, 1)
			r.Lines = slices.Delete(r.Lines, i, i+1)
		}, `came:     42["stop_game"]`},
		{"the_last_event_less", "odd-payloads", func(t *testing.T, r *tape.Recording) {
			r.Lines = r.Lines[:len(r.Lines)-1]
		}, `event "stop_game" was not recorded`},
		{"an_order_swapped", "third-client", func(t *testing.T, r *tape.Recording) {
			i := find(t, r, `42["client_assigned",{"client_id":"client2"`, 1)
			r.Lines[i].Packet, r.Lines[i+1].Packet = r.Lines[i+1].Packet, r.Lines[i].Packet
		}, `recorded: 42["start_game"]`},
		{"connected_before_assigned", "one-python-client", func(t *testing.T, r *tape.Recording) {
			i := find(t, r, `42["client_assigned"`, 1)
			r.Lines[i].Packet, r.Lines[i+1].Packet = r.Lines[i+1].Packet, r.Lines[i].Packet
		}, "recorded: 40{"},
		{"another_payload", "python-client-rejoins", func(t *testing.T, r *tape.Recording) {
			packet(r, find(t, r, `"last_number":7`, 1), `42["client_assigned",{"client_id":"client1","last_number":1}]`)
		}, `"last_number":7`},
		{"a_key_more_in_a_payload", "one-python-client", func(t *testing.T, r *tape.Recording) {
			packet(r, find(t, r, `42["client_assigned"`, 1), `42["client_assigned",{"client_id":"client1","last_number":1,"more":1}]`)
		}, `"more":1`},
		{"another_event", "websocket-only", func(t *testing.T, r *tape.Recording) {
			packet(r, find(t, r, `42["start_game"]`, 1), `42["stop_game"]`)
		}, `came:     42["start_game"]`},
		{"another_ack_id", "websocket-only", func(t *testing.T, r *tape.Recording) {
			packet(r, find(t, r, "433[]", 1), "434[]")
		}, "came:     433[]"},
		{"an_ack_with_something_in_it", "websocket-only", func(t *testing.T, r *tape.Recording) {
			packet(r, find(t, r, "433[]", 1), `433[null]`)
		}, "came:     433[]"},
		{"another_namespace", "odd-payloads", func(t *testing.T, r *tape.Recording) {
			packet(r, find(t, r, "44/foo", 1), `44/bar,"Unable to connect"`)
		}, "44/bar"},
		{"another_ping_interval", "one-python-client", func(t *testing.T, r *tape.Recording) {
			i := find(t, r, "0{", 1)
			packet(r, i, strings.Replace(*r.Lines[i].Packet, "25000", "20000", 1))
		}, "20000"},
		{"a_ping_more", "heartbeat", func(t *testing.T, r *tape.Recording) {
			i := slices.IndexFunc(r.Lines, func(l tape.Line) bool { return l.String() == "2" })
			r.Lines = slices.Insert(r.Lines, i, r.Lines[i])
		}, "recorded: 2"},
		{"no_close_by_the_server", "silent-client", func(t *testing.T, r *tape.Recording) {
			i := find(t, r, "closes", 1)
			r.Lines = slices.Delete(r.Lines, i, i+1)
		}, "closes websocket"},
		{"a_status", "plain-http", func(t *testing.T, r *tape.Recording) {
			change(r, find(t, r, "405", 1), func(x *tape.Exchange) { x.Status = 404 })
		}, "POST /health"},
		{"a_content_type", "plain-http", func(t *testing.T, r *tape.Recording) {
			change(r, find(t, r, "text/plain", 1), func(x *tape.Exchange) { x.ContentType = "application/json" })
		}, "application/json"},
		{"a_body", "plain-http", func(t *testing.T, r *tape.Recording) {
			change(r, find(t, r, "200", 1), func(x *tape.Exchange) { x.Response = "ok" })
		}, "GET /health"},
		{"a_response_header", "cors", func(t *testing.T, r *tape.Recording) {
			change(r, find(t, r, "Allow-Origin", 1), func(x *tape.Exchange) {
				x.ResponseHeaders = tape.Headers{"Access-Control-Allow-Origin": {"*"}}
			})
		}, "Access-Control-Allow-Origin: *"},
		{"another_line_of_numbers", "third-client", func(t *testing.T, r *tape.Recording) {
			(*r.End.State) = []string{"forty-one", "forty-five"}
		}, "it differs from its line 2 on"},
		{"a_line_of_numbers_less", "third-client", func(t *testing.T, r *tape.Recording) {
			(*r.End.State) = (*r.End.State)[:1]
		}, "the end of the file"},
		{"a_line_of_numbers_more", "third-client", func(t *testing.T, r *tape.Recording) {
			(*r.End.State) = []string{"forty-one", "forty-four", "forty-six"}
		}, "the end of the file"},
		{"numbers_of_one_client_swapped", "two-python-clients", func(t *testing.T, r *tape.Recording) {
			(*r.End.State) = []string{"three", "two", "four", "one", "six", "five", "eight", "seven", "ten", "nine"}
		}, "from its line 1 on"},
		{"answered_numbers_swapped", "websocket-only", func(t *testing.T, r *tape.Recording) {
			(*r.End.State)[0], (*r.End.State)[1] = (*r.End.State)[1], (*r.End.State)[0]
		}, "from its line 1 on"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			changed := given(t, tt.recording)
			tt.change(t, changed)
			found(t, compare(t, changed, given(t, tt.recording), gameRules(t)), tt.want)
		})
	}
}

func change(r *tape.Recording, i int, f func(*tape.Exchange)) {
	x := *r.Lines[i].HTTP
	f(&x)
	r.Lines[i].HTTP = &x
}

func TestWhatIsIgnored(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	tests := []struct {
		name, recording string
		before          int // line of the file
		came            tape.Line
	}{
		{"an_empty_poll", "third-client", 5, tape.Line{Session: "A", Over: tape.Polling, Packet: text("")}},
		{"a_noop", "third-client", 5, tape.Line{Session: "A", Over: tape.Polling, Packet: text("6")}},
		{"a_ping_that_was_not_recorded", "third-client", 15, tape.Line{Session: "A", Over: tape.Polling, Packet: text("2")}},
		{"the_end_of_the_last_poll_before_an_upgrade", "upgrade-mid-game", 19, tape.Line{Session: "A", Over: tape.Polling, Packet: text("1")}},
		{"an_event_after_the_client_left", "third-client", 34, tape.Line{Session: "A", Over: tape.Polling, Packet: text(`42["stop_game"]`)}},
		{"the_close_that_follows_the_client's", "websocket-only", 27, tape.Line{Session: "A", Over: tape.WebSocket, Close: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			came := given(t, tt.recording)
			tt.came.From = tape.Server
			came.Lines = slices.Insert(came.Lines, tt.before-2, tt.came) // the header is line 1
			if res := compare(t, given(t, tt.recording), came, gameRules(t)); !res.Same() {
				t.Errorf("not ignored: %v", res.Differences)
			}
		})
	}
}

func TestLinesOfTheStateFileInEitherOrder(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, came string
		same       bool
	}{
		{"as_recorded", "two one three four five six seven eight nine ten", true},
		{"in_order", "one two three four five six seven eight nine ten", true},
		{"pairs_in_reverse_order", "two one three four five six seven eight ten nine", true},
		{"one_client_after_the_other", "two four six eight ten one three five seven nine", true},
		{"a_line_less", "one two three four five six seven eight ten", false},
		{"another_line", "one two three four five six seven eight nine eleven", false},
		{"numbers_of_one_client_swapped", "three two one four five six seven eight nine ten", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			came := given(t, "two-python-clients")
			came.End.State = new([]string)
			*came.End.State = strings.Fields(tt.came)
			if res := compare(t, given(t, "two-python-clients"), came, gameRules(t)); res.Same() != tt.same {
				t.Errorf("same: %t, %v", res.Same(), res.Differences)
			}
		})
	}
}

// A replay does not wait for an answer after the step was answered differently, so that it
// takes no longer against another server than against the same one.
func TestAReplayDoesNotWaitAfterAnotherAnswer(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{`0{"sid"`, `40{"sid"`, "3probe", "431[]"} {
		t.Run(answer, func(t *testing.T) {
			t.Parallel()
			r, came := given(t, "upgrade-mid-game"), given(t, "upgrade-mid-game")
			i := find(t, came, answer, 1)
			other := map[string]string{`0{"sid"`: `0{"sid":"x","upgrades":["websocket"],"pingInterval":7,"pingTimeout":1}`, `40{"sid"`: `40{"sid":"x","more":1}`,
				"3probe": "3other", "431[]": "431[1]"}[answer]
			came.Lines[i].Packet = &other
			found(t, compareWithin(t, r, came, gameRules(t), time.Hour), other)
		})
	}
}
