package compat_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/recording"
	"counting/compat-tests/replay"
	"counting/compat-tests/subject"
)

func TestMain(m *testing.M) { subject.Main(m) }

// Every recording, played against each subject on a fresh data directory, gives
// what was recorded, but for what an expectation beside the recording names.
func TestSubjectsDoWhatWasRecorded(t *testing.T) {
	t.Parallel()
	subjects := []struct {
		name  string
		start func(testing.TB) *subject.Server
		mode  string // of NAME.mode.json, the expectations
	}{
		{"the_stand_in", func(t testing.TB) *subject.Server { return subject.Flask(t) }, ""},
		{"the_go_server_in_faithful_mode", func(t testing.TB) *subject.Server { return subject.GoServer(t, "-faithful") }, ""},
		{"the_go_server", func(t testing.TB) *subject.Server { return subject.GoServer(t) }, "default"},
	}
	for _, s := range subjects {
		for _, r := range recordings(t, s.mode) {
			var server *subject.Server
			if long(r) {
				server = s.start(t) // at once: it takes its time, the others pass meanwhile
			}
			t.Run(s.name+"/"+r.Name, func(t *testing.T) {
				t.Parallel()
				if server == nil {
					server = s.start(t)
				}
				same(t, r, server)
			})
		}
	}
}

// long reports whether a recording waits for heartbeats.
func long(r *recording.Recording) bool { return r.Lines[len(r.Lines)-1].At > 30 }

// Every expectation belongs to a recording.
func TestExpectationsHaveRecordings(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("recordings/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no expectations: %v", err)
	}
	for _, name := range names {
		recorded, ok := strings.CutSuffix(name, ".default.json")
		if !ok {
			t.Errorf("%s: there is no such mode", name)
			continue
		}
		if _, err := recording.ReadExpected(recorded+".jsonl", "default"); err != nil {
			t.Error(err)
		}
	}
}

// recordings are those in recordings/, with what is expected to differ in a mode.
func recordings(t *testing.T, mode string) []*recording.Recording {
	t.Helper()
	all, err := recording.ReadAll("recordings", mode)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// same fails the test if the server does anything else than was recorded.
func same(t *testing.T, r *recording.Recording, s *subject.Server) {
	t.Helper()
	d, err := replay.Replay(t.Context(), r, replay.Options{Target: s.URL, Numbers: s.Numbers})
	if err != nil {
		t.Fatal(err)
	}
	if d != nil {
		t.Errorf("it differs from %s.jsonl: %s", r.Name, d)
	}
}

// What was recorded is changed in one thing, and the stand-in is caught.
func TestReplayFindsOneThingChanged(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, recording string
		e               recording.Expectation
		want            string // in the difference
	}{
		{"an_event_more", "websocket-only", changed(recording.Change{After: 5, Session: "A", Packets: []string{`42["stop_game"]`}}),
			`recorded: 42["stop_game"]`},
		{"an_event_less", "websocket-only", changed(recording.Change{Line: 11}), `came:     42["start_game"]`},
		{"another_payload", "websocket-only", changed(recording.Change{Line: 10, Packets: []string{`42["client_assigned",{"client_id":"client2","last_number":4}]`}}),
			`came:     42["client_assigned",{"client_id":"client2","last_number":2}]`},
		{"another_ack_id", "websocket-only", changed(recording.Change{Line: 15, Packets: []string{"432[]"}}), "line 15, session A"},
		{"an_order_swapped", "websocket-only", changed(
			recording.Change{Line: 5, Packets: []string{`40{"sid":"…"}`}},
			recording.Change{Line: 6, Packets: []string{`42["client_assigned",{"client_id":"client1","last_number":1}]`}}), "line 5, session A"},
		{"a_status", "plain-http", changed(recording.Change{Line: 2, HTTP: &recording.Exchange{Status: 204, Response: recording.AnyResponse}}), "GET /health"},
		{"a_line_of_numbers", "websocket-only", recording.Expectation{Numbers: &recording.NumbersInstead{Why: "a test",
			Lines: []string{"one", "two", "three", "four", "five", "six", "seven", "nine"}}}, "numbers.txt from its line 8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := recording.ReadFile(filepath.Join("recordings", tt.recording+".jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			if r, err = r.With(tt.e); err != nil {
				t.Fatal(err)
			}
			s := subject.Flask(t)
			d, err := replay.Replay(t.Context(), r, replay.Options{Target: s.URL, Numbers: s.Numbers, Patience: time.Second})
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

func changed(changes ...recording.Change) recording.Expectation {
	for i := range changes {
		changes[i].Why = "a test"
	}
	return recording.Expectation{Changes: changes}
}
