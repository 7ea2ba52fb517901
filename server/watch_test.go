package main

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"counting/server/live"
)

// The read-only endpoints accept no other methods, and cannot be shown in a frame.
func TestWatching(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	faithful := startServer(t, "-faithful")
	for path, contentType := range map[string]string{
		"/":              "text/html; charset=utf-8",
		"/page/main.js":  "text/javascript; charset=utf-8",
		"/page/page.css": "text/css; charset=utf-8",
		"/page/icon.svg": "image/svg+xml",
		"/games":         "application/json",
		"/state":         "application/json",
		"/numbers.txt":   "text/plain; charset=utf-8",
		"/events":        "text/event-stream",
		"/metrics":       "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			status, _, header := request(t, http.MethodHead, s.url+path, nil)
			if status != http.StatusOK || header.Get("Content-Type") != contentType {
				t.Errorf("HEAD answers %d, %s", status, header.Get("Content-Type"))
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff",
				"X-Frame-Options":        "DENY",
				"Referrer-Policy":        "no-referrer",
			} {
				if got := header.Get(name); got != want {
					t.Errorf("%s is %q", name, got)
				}
			}
			policy := header.Get("Content-Security-Policy")
			if !strings.HasPrefix(policy, "default-src 'none'; ") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
				t.Errorf("the policy is %q", policy)
			}
			for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
				if status, _, header := request(t, method, s.url+path, nil); status != http.StatusMethodNotAllowed || header.Get("Allow") != "GET, HEAD" {
					t.Errorf("%s answers %d, %q", method, status, header.Get("Allow"))
				}
			}
			want := http.StatusNotFound
			if path == "/metrics" {
				want = http.StatusOK
			}
			if status, _, _ := request(t, http.MethodGet, faithful.url+path, nil); status != want {
				t.Errorf("in faithful mode it answers %d", status)
			}
		})
	}
}

// Only pages of -frame-ancestors may show the page in a frame.
func TestFrameAncestors(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-frame-ancestors", "https://slides.example.org/, http://localhost:8000")
	_, _, header := request(t, http.MethodGet, s.url+"/", nil)
	policy := header.Get("Content-Security-Policy")
	if !strings.HasSuffix(policy, "; frame-ancestors https://slides.example.org http://localhost:8000") || header.Get("X-Frame-Options") != "" {
		t.Errorf("the policy is %q, X-Frame-Options %q", policy, header.Get("X-Frame-Options"))
	}
}

func TestAStoppingServerEndsItsStreams(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	response, err := http.Get(s.url + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	began := time.Now()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
	io.Copy(io.Discard, response.Body)
}

func TestTheMetricsTellOfTheGame(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a, b := joinTwo(t, s)
	c := dial(t, s)
	c.send("40")
	a.send(number("1", "client1", 2), number("2", "client1", 1), number("3", "client1", 1))
	a.expect(`431[{"error":`, "432[]", "433[]")
	b.send(number("1", "client2", 2))
	b.expect("431[]")
	wants := []string{
		`counting_numbers_written_total{seat="client1"} 1`,
		`counting_numbers_written_total{seat="client2"} 1`,
		`counting_numbers_repeated_total{seat="client1"} 1`,
		`counting_numbers_refused_total{reason="wrong_parity"} 1`,
		"counting_seats_taken 2",
		"counting_sessions 3",
		"counting_waiting_clients 1",
		"counting_last_number 2",
		"counting_append_duration_seconds_count 2",
		"counting_stream_readers 0",
		"counting_storage_failing 0",
		`counting_build_info{goversion="go`,
	}
	waitFor(t, "the metrics", func() bool {
		_, text, _ := request(t, http.MethodGet, s.url+"/metrics", nil)
		for _, want := range wants {
			if !strings.Contains(text, "\n"+want) {
				return false
			}
		}
		return true
	})
}

// A restarted server knows how long the count was interrupted.
func TestTheStateOutlivesTheServer(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-goal", "100")
	a, _ := joinTwo(t, s)
	a.send(number("1", "client1", 1))
	a.expect("431[]")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = startServerIn(t, s.data, "-goal", "100")
	_, b := joinTwo(t, s)
	b.send(number("1", "client2", 2))
	b.expect("431[]")
	var state live.State
	waitFor(t, "the line", func() bool {
		_, text, _ := request(t, http.MethodGet, s.url+"/state", nil)
		if err := json.Unmarshal([]byte(text), &state); err != nil {
			t.Fatal(err)
		}
		return state.Lines == 2
	})
	if state.Goal != 100 || !state.Running || state.Last.Text != "two" {
		t.Errorf("the state is %+v", state)
	}
	last := state.Activities[len(state.Activities)-1]
	if last.Type != live.CountResumed || last.Seconds <= 0 || last.Seconds > timeout.Seconds() {
		t.Errorf("what happened last is %+v", last)
	}
}

// JSON logs have the same events as fields.
func TestJSONLogs(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-log-format", "json", "-log-level", "debug")
	a, _ := joinTwo(t, s)
	a.send(number("1", "client1\u009b31m\u202e", 1), number("2", "client1", 1), number("3", "client1", 1))
	a.expect("431[{", "432[]", "433[]")
	a.send(number("4", "client1", 2))
	a.expect("434[{")
	a.send("41")
	a.expect(stopped)
	type event struct {
		Level, Msg, Session, Seat, Address, Code string
		Number                                   float64
		Counted                                  *int
	}
	seen := make(map[string]event)
	waitFor(t, "the log", func() bool {
		for line := range strings.Lines(s.log.String()) {
			var e event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if strings.ContainsAny(line, "\u009b\u202e") {
				t.Errorf("a terminal escape: %q", line)
			}
			seen[e.Msg] = e
		}
		return seen["Client client1 disconnected."].Level != ""
	})
	for msg, want := range map[string]event{
		"Client client1 connected and assigned.":             {Level: "INFO", Seat: "client1"},
		"Received one from client1":                          {Level: "INFO", Seat: "client1", Number: 1},
		"client1 repeated one":                               {Level: "DEBUG", Seat: "client1", Number: 1},
		"Client client1 disconnected.":                       {Level: "INFO", Seat: "client1"},
		"Refused a number: number 2 is not one of client1's": {Level: "WARN", Seat: "client1", Number: 2, Code: "wrong_parity"},
	} {
		got := seen[msg]
		if got.Level != want.Level || got.Seat != want.Seat || got.Number != want.Number || got.Session == "" || got.Address == "" || got.Code != want.Code {
			t.Errorf("%q: got %+v", msg, got)
		}
	}
	if counted := seen["Client client1 disconnected."].Counted; counted == nil || *counted != 1 {
		t.Errorf("what the session had counted is %v", counted)
	}
	// A clean stop is logged last.
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(strings.TrimSpace(s.log.String()), `"msg":"Server stopped."}`) {
		t.Errorf("the log ends with %q", s.log.String()[max(0, len(s.log.String())-200):])
	}
}

// The log tells who sent a refused number, in which game, and why.
func TestRefusedNumbersInTheLog(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-limit", "8")
	a, _ := joinTwo(t, s.inGame("game=blue"))
	inDefault := join(t, s, assigned1, joined)
	type refusal struct{ sent, logged string }
	for _, r := range []refusal{
		{`["number",{"client_id":"client1","number":2}]`, `number 2 is not one of client1's code="wrong_parity" seat="client1" client_id="client1" number="2"`},
		{`["number",{"client_id":"client2","number":2}]`, `the session does not hold the seat client2 code="not_its_seat" seat="client1" client_id="client2" number="2"`},
		{`["number",{"client_id":"client1","number":9}]`, `number 9 is beyond the last number of the count code="beyond_the_end" seat="client1" client_id="client1" number="9"`},
		{`["number",{"client_id":"client1","number":"three"}]`, `number "three" is not a number code="malformed" seat="client1"`},
		{`["number",{"client_id":"client1","number":null}]`, `number null is not a number code="malformed" seat="client1"`},
	} {
		a.send("421" + r.sent)
		a.expect("431[{")
		waitFor(t, r.logged, func() bool {
			return strings.Contains(s.log.String(), "\nblue: Refused a number: "+r.logged+" session=")
		})
	}
	a.send(`42["number",{"client_id":"client1","number":NaN}]`)
	inDefault.send(`42["number",{"client_id":"client1","number":NaN}]`)
	for _, game := range []string{"", "blue: "} {
		waitFor(t, "the broken packet in "+game, func() bool { return strings.Contains(s.log.String(), "\n"+game+`broken packet "2[`) })
	}
}

// When the count continues after an interruption, the log and the metrics have its
// duration.
func TestAnInterruptionIsLoggedAndCounted(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a, b := joinTwo(t, s)
	a.send(number("1", "client1", 1))
	a.expect("431[]")
	b.send(number("1", "client2", 2))
	b.expect("431[]")
	b.send("41")
	waitFor(t, "client2 to leave", func() bool { return strings.Contains(s.log.String(), "Client client2 disconnected.") })
	join(t, s, assigned2, started, joined)
	a.send(number("2", "client1", 3))
	waitFor(t, "the log", func() bool {
		return regexp.MustCompile(`(?m)^The count continues after \d+\.\d s; the cause of the interruption was client2\.$`).MatchString(s.log.String())
	})
	waitFor(t, "the metrics", func() bool {
		_, text, _ := request(t, http.MethodGet, s.url+"/metrics", nil)
		for _, want := range []string{`counting_interruptions_total{cause="client2"} 1`, "counting_interruption_seconds_count 1", `counting_seat_taken{seat="client1"} 1`} {
			if !strings.Contains(text, "\n"+want) {
				return false
			}
		}
		return true
	})
}
