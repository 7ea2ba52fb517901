package compat_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/compat-tests/siotape/replay"
	"counting/compat-tests/siotape/rules"
	"counting/compat-tests/siotape/tape"
	"counting/server/room"
)

func TestMain(m *testing.M) { harness.Main(m) }

// Every recording, replayed against each server on an empty data directory, gives what
// was recorded, except for the differences in the expectation next to the recording.
func TestServersDoWhatWasRecorded(t *testing.T) {
	t.Parallel()
	type target struct {
		name  string
		start func(testing.TB) *harness.Server
		mode  string // of NAME.mode.json, the expectations
		holds bool   // a session that waits for a seat is refused after room.HoldTime
	}
	targets := []target{
		{"the_stand_in", func(t testing.TB) *harness.Server { return harness.Flask(t) }, "", false},
		{"the_go_server_in_faithful_mode", func(t testing.TB) *harness.Server { return harness.GoServer(t, "-faithful") }, "", false},
		{"the_go_server", func(t testing.TB) *harness.Server { return harness.GoServer(t) }, "default", true},
	}
	if harness.Soak() {
		targets = append(targets, []target{
			{"a_standby_in_faithful_mode", func(t testing.TB) *harness.Server { return harness.Standby(t, "-faithful") }, "", false},
			{"a_standby", func(t testing.TB) *harness.Server { return harness.Standby(t) }, "default", false},
		}...)
	}
	for _, s := range targets {
		for _, r := range recordings(t, s.mode) {
			t.Run(s.name+"/"+r.Name, func(t *testing.T) {
				t.Parallel()
				same(t, r, s.start, s.holds)
			})
		}
	}
}

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
			t.Errorf("%s: the mode does not exist", name)
			continue
		}
		if _, err := replay.ReadExpected(recorded+".jsonl", "default"); err != nil {
			t.Error(err)
		}
	}
}

// recordings returns the recordings, with the expectations of a mode applied.
func recordings(t *testing.T, mode string) []*tape.Recording {
	t.Helper()
	all, err := replay.ReadAll("recordings", mode)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// same fails the test if a server does not do what was recorded. If holds is set and a
// busy machine took so much longer than the recording that the server may have refused a
// session that waits for a seat, another server is tried.
func same(t *testing.T, r *tape.Recording, start func(testing.TB) *harness.Server, holds bool) {
	t.Helper()
	recorded := time.Duration(r.Lines[len(r.Lines)-1].At * float64(time.Second))
	for attempt := 1; ; attempt++ {
		s, began := start(t), time.Now()
		differences := replayed(t, r, s, 0).Differences
		took := time.Since(began)
		again := holds && attempt < 3 && took >= recorded+room.HoldTime
		if len(differences) > 0 && again {
			t.Logf("replayed again, as it took %v in place of %v: %v", took, recorded, differences)
			s.Kill()
			continue
		}
		for _, d := range differences {
			t.Errorf("it differs from %s.jsonl: %s", r.Name, d)
		}
		return
	}
}

// replayed replays a recording against a server, by the rules of the game. The default
// patience is 10 s, so that a busy machine does not cause differences.
func replayed(t *testing.T, r *tape.Recording, s *harness.Server, patience time.Duration) *replay.Result {
	t.Helper()
	rs, err := rules.ReadFile("recordings/" + rules.FileName)
	if err != nil {
		t.Fatal(err)
	}
	if patience == 0 {
		patience = 10 * time.Second
	}
	res, err := replay.Replay(t.Context(), r, replay.Options{Target: s.URL, State: s.Numbers, Rules: rs, Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range res.NotCompared {
		t.Errorf("%s: not compared: %s", r.Name, n)
	}
	return res
}

// If one thing is changed in a recording, a replay against the stand-in finds it.
func TestReplayFindsOneThingChanged(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, recording string
		e               replay.Expectation
		want            string // in the difference
	}{
		{"an_event_more", "websocket-only", changed(replay.Change{After: 5, Session: "A", Packets: []string{`42["stop_game"]`}}),
			`recorded: 42["stop_game"]`},
		{"an_event_less", "websocket-only", changed(replay.Change{Line: 11}), `event "start_game" was not recorded`},
		{"another_payload", "websocket-only", changed(replay.Change{Line: 10, Packets: []string{`42["client_assigned",{"client_id":"client2","last_number":4}]`}}),
			`came:     42["client_assigned",{"client_id":"client2","last_number":2}]`},
		{"another_ack_id", "websocket-only", changed(replay.Change{Line: 15, Packets: []string{"432[]"}}), "line 15, session A"},
		{"an_order_swapped", "websocket-only", changed(
			replay.Change{Line: 5, Packets: []string{`40{"sid":"…"}`}},
			replay.Change{Line: 6, Packets: []string{`42["client_assigned",{"client_id":"client1","last_number":1}]`}}), "came in another order"},
		{"a_status", "plain-http", changed(replay.Change{Line: 2, HTTP: &tape.Exchange{Status: 204, Response: replay.AnyResponse}}), "GET /health"},
		{"a_line_of_numbers", "websocket-only", replay.Expectation{Numbers: &replay.LinesInstead{Why: "a test",
			Lines: []string{"one", "two", "three", "four", "five", "six", "seven", "nine"}}}, "it differs from its line 8 on"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := tape.ReadFile(filepath.Join("recordings", tt.recording+".jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			if r, err = tt.e.Apply(r); err != nil {
				t.Fatal(err)
			}
			s := harness.Flask(t)
			var all []string
			for _, d := range replayed(t, r, s, time.Second).Differences {
				all = append(all, d.String())
			}
			if len(all) == 0 {
				t.Fatal("not found")
			}
			if found := strings.Join(all, "\n"); !strings.Contains(found, tt.want) {
				t.Errorf("found, but not where it is:\n%s\nwant in it: %s", found, tt.want)
			}
		})
	}
}

func changed(changes ...replay.Change) replay.Expectation {
	for i := range changes {
		changes[i].Why = "a test"
	}
	return replay.Expectation{Changes: changes}
}
