package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"counting/compat-tests/harness"
)

const third = "../recordings/third-client.jsonl"

func TestReplayReportsDifferences(t *testing.T) {
	t.Parallel()
	changed := func(t *testing.T, from, to string) string {
		t.Helper()
		text, err := os.ReadFile(third)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "changed.jsonl")
		if err := os.WriteFile(name, bytes.Replace(text, []byte(from), []byte(to), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	tests := []struct {
		name     string
		from, to string // a change of the recording
		code     int
		want     []string
	}{
		{"same", "", "", exitSame, []string{"third-client: same"}},
		{"another_number", `"last_number\":2}`, `"last_number\":4}`, exitDifferent, []string{
			"third-client: different", `line 10, session B: event "client_assigned" has changed` + "\n",
			`  recorded: 42["client_assigned",{"client_id":"client2","last_number":4}]` + "\n",
			`  came:     42["client_assigned",{"client_id":"client2","last_number":2}]` + "\n",
			"  after:    client B (line 9): 40\n"}},
		{"another_line_of_numbers", `"forty-four"`, `"forty-five"`, exitDifferent, []string{
			"at the end, the state file: it differs from its line 2 on\n", "recorded: forty-five\n", "came:     forty-four\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			flask := harness.Flask(t)
			var out, complaints bytes.Buffer
			args := []string{"replay", "-target", flask.URL, "-state", filepath.Join(flask.Dir, "numbers.txt"),
				"-patience", "10s", "-rules", "../recordings/rules.yaml", changed(t, tt.from, tt.to)}
			if code := run(t.Context(), args, &out, &complaints); code != tt.code {
				t.Errorf("code %d, want %d, %s", code, tt.code, &complaints)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it says\n%s\nwithout\n%s", out.String(), want)
				}
			}
		})
	}
}

func TestReplayReportsErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no_target", []string{third}, "usage: siotape replay"},
		{"no_recording", []string{"-target", "http://localhost:1"}, "usage: siotape replay"},
		{"a_missing_recording", []string{"-target", "http://localhost:1", "nothing.jsonl"}, "no such file"},
		{"no_url", []string{"-target", "localhost", third}, "want a URL"},
		{"a_query", []string{"-target", "http://localhost:1?game=blue", third}, `target "http://localhost:1?game=blue": want a URL without a query`},
		{"a_query_to_play", []string{"-play", "-target", "http://localhost:1/?game=blue", third}, "want a URL without a query"},
		{"an_unknown_mode", []string{"-target", "http://localhost:1", "-expect", "nodee", third}, `mode "nodee"`},
		{"an_empty_target", []string{"-target", "", third}, "-target is empty"},
		{"no_such_rules", []string{"-target", "http://localhost:1", "-rules", "nothing.yaml", third}, "nothing.yaml"},
		{"an_invalid_pace", []string{"-target", "http://localhost:1", "-pace", "fast", third}, `-pace "fast"`},
		{"nobody_listens", []string{"-target", "http://127.0.0.1:1", third}, "connection refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out, complaints bytes.Buffer
			code := run(t.Context(), append([]string{"replay"}, tt.args...), &out, &complaints)
			said := complaints.String()
			if code != exitFailed || !strings.Contains(said, tt.want) {
				t.Errorf("code %d, %s, want: %s", code, said, tt.want)
			}
		})
	}
}

// Every command that connects to a server refuses a target with a query, which it would
// not send, before it does anything else.
func TestATargetHasNoQuery(t *testing.T) {
	t.Parallel()
	const target = "http://localhost:1/?game=blue"
	out := filepath.Join(t.TempDir(), "session.jsonl")
	for name, args := range map[string][]string{
		"record":           {"record", "-target", target, "-out", out, "-listen", "127.0.0.1:0"},
		"record_and_start": {"record", "-target", target, "-out", out, "-listen", "127.0.0.1:0", "-start", "touch " + out},
		"replay":           {"replay", "-target", target, third},
		"replay_and_start": {"replay", "-target", target, "-start", "touch " + out, third},
		"replay_play":      {"replay", "-play", "-target", target, third},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var complaints bytes.Buffer
			code := run(t.Context(), args, io.Discard, &complaints)
			if want := `target "` + target + `": want a URL without a query`; code != exitFailed || !strings.Contains(complaints.String(), want) {
				t.Errorf("code %d, %s, want: %s", code, complaints.String(), want)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("it has begun to record, or started the server")
			}
		})
	}
}

// With -play, what the server refuses is said, as a hand-written line may be wrong, or
// may be meant to be refused.
func TestPlayReportsRefusals(t *testing.T) {
	t.Parallel()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "go away", http.StatusForbidden) }))
	t.Cleanup(refusing.Close)
	code, out := tool(t, "replay", "-play", "-target", refusing.URL, third)
	if code != exitSame || !strings.Contains(out, "the server has refused line ") || !strings.Contains(out, "403") {
		t.Errorf("code %d, %s", code, out)
	}
}
