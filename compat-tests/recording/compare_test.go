package recording

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A replayed is the Peer that does exactly what was recorded.
type replayed struct {
	*Recording
	said map[string][]Line // what is still to come on each session
}

func replay(r *Recording) *replayed {
	p := &replayed{Recording: r, said: map[string][]Line{}}
	for _, l := range r.Lines {
		if l.From == Server {
			p.said[l.Session] = append(p.said[l.Session], l)
		}
		if l.HTTP != nil {
			p.said["http"] = append(p.said["http"], l)
		}
	}
	return p
}

func (p *replayed) Play([]Line, time.Duration) (string, error) { return "", nil }

func (p *replayed) Exchange(Exchange, time.Duration) (Exchange, error) {
	l, _ := p.Next("http", 0)
	return *l.HTTP, nil
}

func (p *replayed) Next(session string, _ time.Duration) (Line, bool) {
	said := p.said[session]
	if len(said) == 0 {
		return Line{}, false
	}
	p.said[session] = said[1:]
	return said[0], true
}

func (p *replayed) Settle(func([]string) bool) ([]string, error) { return p.Numbers, nil }

func given(t *testing.T, name string) *Recording {
	t.Helper()
	r, err := ReadFile(filepath.Join("..", "recordings", name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// find returns the index of the nth line that has the text in it.
func find(t *testing.T, r *Recording, text string, nth int) int {
	t.Helper()
	for i, l := range r.Lines {
		if l.From != Client && strings.Contains(l.String(), text) {
			if nth--; nth == 0 {
				return i
			}
		}
	}
	t.Fatalf("%s has no such line: %s", r.Name, text)
	return 0
}

func TestEveryRecordingIsSameAsItself(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("../recordings/*.jsonl")
	if err != nil || len(names) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, name := range names {
		r, err := ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Compare(r, replay(r))
		if err != nil || d != nil {
			t.Errorf("%s: %v %v", r.Name, d, err)
		}
	}
}

func TestOneThingChangedIsFound(t *testing.T) {
	t.Parallel()
	packet := func(r *Recording, i int, p string) { r.Lines[i].Packet = &p }
	tests := []struct {
		name, recording string
		change          func(*testing.T, *Recording)
		want            string // in the difference
	}{
		{"an_event_more", "third-client", func(t *testing.T, r *Recording) {
			i := find(t, r, `42["start_game"]`, 1)
			r.Lines = slices.Insert(r.Lines, i, r.Lines[i])
		}, `session B`},
		{"an_event_more_at_the_end", "upgrade-mid-game", func(t *testing.T, r *Recording) {
			i := find(t, r, `431[]`, 1)
			l := r.Lines[i]
			packet(r, i, `42["stop_game"]`)
			r.Lines = slices.Insert(r.Lines, i, l)
		}, "nothing"},
		{"an_event_less", "third-client", func(t *testing.T, r *Recording) {
			i := find(t, r, `42["stop_game"]`, 1)
			r.Lines = slices.Delete(r.Lines, i, i+1)
		}, `came:     42["stop_game"]`},
		{"the_last_event_less", "odd-payloads", func(t *testing.T, r *Recording) {
			r.Lines = r.Lines[:len(r.Lines)-1]
		}, "nothing more"},
		{"an_order_swapped", "third-client", func(t *testing.T, r *Recording) {
			i := find(t, r, `42["client_assigned",{"client_id":"client2"`, 1)
			r.Lines[i].Packet, r.Lines[i+1].Packet = r.Lines[i+1].Packet, r.Lines[i].Packet
		}, `recorded: 42["start_game"]`},
		{"connected_before_assigned", "one-python-client", func(t *testing.T, r *Recording) {
			i := find(t, r, `42["client_assigned"`, 1)
			r.Lines[i].Packet, r.Lines[i+1].Packet = r.Lines[i+1].Packet, r.Lines[i].Packet
		}, "recorded: 40{"},
		{"another_payload", "python-client-rejoins", func(t *testing.T, r *Recording) {
			packet(r, find(t, r, `"last_number":7`, 1), `42["client_assigned",{"client_id":"client1","last_number":1}]`)
		}, `"last_number":7`},
		{"a_key_more_in_a_payload", "one-python-client", func(t *testing.T, r *Recording) {
			packet(r, find(t, r, `42["client_assigned"`, 1), `42["client_assigned",{"client_id":"client1","last_number":1,"more":1}]`)
		}, `"more":1`},
		{"another_event", "websocket-only", func(t *testing.T, r *Recording) {
			packet(r, find(t, r, `42["start_game"]`, 1), `42["stop_game"]`)
		}, `came:     42["start_game"]`},
		{"another_ack_id", "websocket-only", func(t *testing.T, r *Recording) {
			packet(r, find(t, r, "433[]", 1), "434[]")
		}, "came:     433[]"},
		{"an_ack_with_something_in_it", "websocket-only", func(t *testing.T, r *Recording) {
			packet(r, find(t, r, "433[]", 1), `433[null]`)
		}, "came:     433[]"},
		{"another_namespace", "odd-payloads", func(t *testing.T, r *Recording) {
			packet(r, find(t, r, "44/foo", 1), `44/bar,"Unable to connect"`)
		}, "44/bar"},
		{"another_ping_interval", "one-python-client", func(t *testing.T, r *Recording) {
			i := find(t, r, "0{", 1)
			packet(r, i, strings.Replace(*r.Lines[i].Packet, "25000", "20000", 1))
		}, "20000"},
		{"a_ping_more", "heartbeat", func(t *testing.T, r *Recording) {
			i := slices.IndexFunc(r.Lines, func(l Line) bool { return l.String() == "2" })
			r.Lines = slices.Insert(r.Lines, i, r.Lines[i])
		}, "recorded: 2"},
		{"no_close_by_the_server", "silent-client", func(t *testing.T, r *Recording) {
			i := find(t, r, "closes", 1)
			r.Lines = slices.Delete(r.Lines, i, i+1)
		}, "closes websocket"},
		{"a_status", "plain-http", func(t *testing.T, r *Recording) {
			change(r, find(t, r, "405", 1), func(x *Exchange) { x.Status = 404 })
		}, "POST /health"},
		{"a_content_type", "plain-http", func(t *testing.T, r *Recording) {
			change(r, find(t, r, "text/plain", 1), func(x *Exchange) { x.ContentType = "application/json" })
		}, "application/json"},
		{"a_body", "plain-http", func(t *testing.T, r *Recording) {
			change(r, find(t, r, "200", 1), func(x *Exchange) { x.Response = "ok" })
		}, "GET /health"},
		{"a_response_header", "cors", func(t *testing.T, r *Recording) {
			change(r, find(t, r, "Allow-Origin", 1), func(x *Exchange) {
				x.ResponseHeaders = map[string]string{"Access-Control-Allow-Origin": "*"}
			})
		}, "Access-Control-Allow-Origin: *"},
		{"another_line_of_numbers", "third-client", func(t *testing.T, r *Recording) {
			r.Numbers = []string{"forty-one", "forty-five"}
		}, "numbers.txt from its line 2"},
		{"a_line_of_numbers_less", "third-client", func(t *testing.T, r *Recording) {
			r.Numbers = r.Numbers[:1]
		}, "the end of the file"},
		{"a_line_of_numbers_more", "third-client", func(t *testing.T, r *Recording) {
			r.Numbers = []string{"forty-one", "forty-four", "forty-six"}
		}, "the end of the file"},
		{"numbers_of_one_client_swapped", "two-python-clients", func(t *testing.T, r *Recording) {
			r.Numbers = []string{"three", "two", "four", "one", "six", "five", "eight", "seven", "ten", "nine"}
		}, "from its line 1"},
		{"answered_numbers_swapped", "websocket-only", func(t *testing.T, r *Recording) {
			r.Numbers[0], r.Numbers[1] = r.Numbers[1], r.Numbers[0]
		}, "from its line 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			changed := given(t, tt.recording)
			tt.change(t, changed)
			d, err := Compare(changed, replay(given(t, tt.recording)))
			if err != nil {
				t.Fatal(err)
			}
			if d == nil {
				t.Fatal("not found")
			}
			if !strings.Contains(d.String(), tt.want) {
				t.Errorf("found, but not where it is:\n%s\nwant in it: %s", d, tt.want)
			}
		})
	}
}

func change(r *Recording, i int, f func(*Exchange)) {
	x := *r.Lines[i].HTTP
	f(&x)
	r.Lines[i].HTTP = &x
}

func TestWhatIsPassedOver(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	tests := []struct {
		name, recording string
		before          int // line of the file
		came            Line
	}{
		{"an_empty_poll", "third-client", 5, Line{Session: "A", Over: Polling, Packet: text("")}},
		{"a_noop", "third-client", 5, Line{Session: "A", Over: Polling, Packet: text("6")}},
		{"a_ping_that_was_not_recorded", "third-client", 15, Line{Session: "A", Over: Polling, Packet: text("2")}},
		{"the_end_of_the_poll_that_an_upgrade_leaves_behind", "upgrade-mid-game", 19, Line{Session: "A", Over: Polling, Packet: text("1")}},
		{"an_event_after_the_client_left", "third-client", 34, Line{Session: "A", Over: Polling, Packet: text(`42["stop_game"]`)}},
		{"the_close_that_follows_the_client's", "websocket-only", 27, Line{Session: "A", Over: WebSocket, Close: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			came := given(t, tt.recording)
			tt.came.From = Server
			came.Lines = slices.Insert(came.Lines, tt.before-2, tt.came) // the header is line 1
			d, err := Compare(given(t, tt.recording), replay(came))
			if err != nil || d != nil {
				t.Errorf("not passed over: %v %v", d, err)
			}
		})
	}
}

func TestNumbersThatMayStandInEitherOrder(t *testing.T) {
	t.Parallel()
	r := given(t, "two-python-clients")
	for _, came := range []string{
		"one two three four five six seven eight nine ten",
		"two one three four six five seven eight ten nine",
		"two four six eight ten one three five seven nine",
	} {
		if !r.SameNumbers(strings.Fields(came)) {
			t.Errorf("%s: refused, though nobody was answered in between", came)
		}
	}
	if r.SameNumbers(strings.Fields("one two three four five six seven eight ten")) {
		t.Error("a line less is taken for the same")
	}
}
