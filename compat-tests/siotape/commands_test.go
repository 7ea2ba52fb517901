package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"counting/compat-tests/harness"
	"counting/compat-tests/siotape/rules"
	"counting/compat-tests/siotape/tape"
)

// shop is a server whose tokens, ids and times are different each time.
func shop(t *testing.T, greeting string) *httptest.Server {
	t.Helper()
	var made atomic.Int64
	made.Store(time.Now().UnixNano())
	id := func() string { return fmt.Sprintf("item%012x", made.Add(7919)&0xffffffffffff) }
	upgrader := websocket.Upgrader{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: id() + "token", HttpOnly: true})
			fmt.Fprintf(w, `{"token":%q,"host":%q}`, "t-"+id(), r.Host)
			return
		}
		if r.URL.Path == "/who" {
			c, err := r.Cookie("session")
			if err != nil || !strings.HasSuffix(c.Value, "token") || r.Header.Get("X-Team") != "blue" {
				http.Error(w, "who are you?", http.StatusForbidden)
			}
			return
		}
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		say := func(format string, args ...any) {
			_ = ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...))
		}
		say(`0{"sid":%q,"upgrades":[],"pingInterval":25000,"pingTimeout":20000}`, id())
		last, question := "", made.Load()%2
		for {
			_, data, err := ws.ReadMessage()
			if err != nil {
				return
			}
			switch text := string(data); {
			case text == "40":
				say(`40{"sid":%q}`, id())
			case text == `42["make"]`:
				last = id()
				say(`42["made",{"id":%q,"at":%d}]`, last, time.Now().UnixMilli())
			case strings.HasPrefix(text, `421["take"`):
				say(`431[%t]`, last != "" && strings.Contains(text, last))
			case text == `42["quiz"]`:
				say(`42%d["question",%q]`, question, greeting)
			case text == fmt.Sprintf(`43%d["yes"]`, question):
				say(`42["answered"]`)
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// visit is a client of the shop, which sends back the values that it received.
func visit(t *testing.T, url string) {
	t.Helper()
	res, err := http.Get(url + "/login")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var login struct{ Token string }
	if err := json.NewDecoder(res.Body).Decode(&login); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodGet, url+"/who?token="+login.Token, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(res.Cookies()[0])
	req.Header.Set("X-Team", "blue")
	req.Header.Set("Authorization", "Bearer "+login.Token)
	who, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	who.Body.Close()
	ws := harness.DialSession(t, url, "&team=blue")
	read := func() string {
		_, data, err := ws.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	say := func(text string) {
		time.Sleep(100 * time.Millisecond)
		if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	read()
	say("40")
	read()
	say(`42["make"]`)
	_, made, _ := strings.Cut(read(), `"id":"`)
	item, _, _ := strings.Cut(made, `"`)
	say(fmt.Sprintf(`421["take",%q]`, item))
	read()
	say(`42["quiz"]`)
	asked := read()
	say("43" + asked[2:3] + `["yes"]`)
	read()
	ws.Close()
}

// tool runs a command and returns its exit code and output. Replays have more patience,
// so that a busy machine does not cause differences.
func tool(t *testing.T, args ...string) (int, string) {
	t.Helper()
	if len(args) > 2 && (args[0] == "replay" || args[0] == "learn") {
		args = append([]string{args[0], "-patience", "8s"}, args[1:]...)
	}
	var out bytes.Buffer
	code := run(t.Context(), args, &out, &out)
	return code, out.String()
}

// With the rules that learn writes, the server does not differ from its recording, and
// another server still does.
func TestLearntRulesAllowTheServerItselfAndNoOther(t *testing.T) {
	t.Parallel()
	server := shop(t, "ready?")
	s := startRecorder(t, "-target", server.URL)
	visit(t, s.URL)
	s.end()
	file := filepath.Join(filepath.Dir(s.out), rules.FileName)
	if code, out := tool(t, "replay", "-target", server.URL, "-quiet", "100ms", s.out); code != exitDifferent {
		t.Fatalf("without rules: exit code %d, %s", code, out)
	}
	if code, out := tool(t, "learn", "-target", server.URL, "-quiet", "100ms", "-out", file, s.out); code != exitSame {
		t.Fatalf("learn: exit code %d, %s", code, out)
	}
	for range 3 {
		if code, out := tool(t, "replay", "-target", server.URL, "-quiet", "100ms", s.out); code != exitSame || !strings.Contains(out, "same; ") {
			t.Errorf("the same server: exit code %d, %s\n%s", code, out, readAll(t, file))
		}
	}
	other := shop(t, "sure?")
	code, out := tool(t, "replay", "-target", other.URL, "-quiet", "100ms", s.out)
	if code != exitDifferent || !strings.Contains(out, `$[0]: "sure?", was "ready?"`) || strings.Count(out, "\nline ") != 1 {
		t.Errorf("another server: exit code %d, %s", code, out)
	}
	// learn reports what no rule should allow.
	if code, out := tool(t, "learn", "-target", httptest.NewServer(http.NotFoundHandler()).URL, "-quiet", "100ms", s.out); code != exitDifferent || !strings.Contains(out, "no rule should allow") {
		t.Errorf("learn from nothing: exit code %d, %s", code, out)
	}
}

// A redacted recording has no secrets, and can be replayed.
func TestSecretsAreTakenOut(t *testing.T) {
	t.Parallel()
	server := shop(t, "ready?")
	s := startRecorder(t, "-target", server.URL, "-redact")
	visit(t, s.URL)
	r := s.end()
	text := readAll(t, s.out)
	for _, secret := range []string{"t-item", `token"`} {
		for _, l := range r.Lines {
			if l.HTTP != nil && (strings.Contains(l.HTTP.URL, secret) || strings.Contains(l.HTTP.Response, secret+"item") || strings.Contains(fmt.Sprint(l.HTTP.Headers, l.HTTP.ResponseHeaders), secret)) {
				t.Errorf("%q is in %v", secret, l.HTTP)
			}
		}
	}
	if !strings.Contains(text, "Bearer REDACTED-") || !strings.Contains(text, "session=REDACTED-") || !strings.Contains(text, "token=REDACTED-") {
		t.Errorf("nothing was redacted:\n%s", text)
	}
	file := filepath.Join(filepath.Dir(s.out), rules.FileName)
	if code, out := tool(t, "learn", "-target", server.URL, "-quiet", "100ms", "-out", file, s.out); code != exitSame {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// A recording that is converted to HAR and back is the same.
func TestARecordingAsHARIsTheSame(t *testing.T) {
	t.Parallel()
	server := shop(t, "ready?")
	s := startRecorder(t, "-target", server.URL)
	visit(t, s.URL)
	r := s.end()
	code, text := tool(t, "show", "-har", s.out)
	if code != exitSame {
		t.Fatalf("exit code %d", code)
	}
	har := filepath.Join(t.TempDir(), "session.har")
	if err := os.WriteFile(har, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := tape.ReadHARFile(har)
	if err != nil {
		t.Fatal(err)
	}
	shapes := func(r *tape.Recording) (all []string) {
		for _, l := range r.Lines {
			if !l.Close {
				all = append(all, l.Session+" "+l.From+" "+l.String())
			}
		}
		return all
	}
	if a, b := strings.Join(shapes(r), "\n"), strings.Join(shapes(again), "\n"); a != b {
		t.Errorf("it was\n%s\nand is\n%s", a, b)
	}
	if code, out := tool(t, "show", har); code != exitSame || !strings.Contains(out, `42["make"]`) {
		t.Errorf("exit code %d: %s", code, out)
	}
	file := filepath.Join(t.TempDir(), rules.FileName)
	if code, out := tool(t, "learn", "-target", server.URL, "-quiet", "100ms", "-out", file, har); code != exitSame {
		t.Errorf("replayed: exit code %d: %s", code, out)
	}
}

// Results can be written as JSON and as JUnit XML.
func TestResultsAsJSONAndJUnit(t *testing.T) {
	t.Parallel()
	server := shop(t, "ready?")
	s := startRecorder(t, "-target", server.URL)
	visit(t, s.URL)
	s.end()
	junit := filepath.Join(t.TempDir(), "junit.xml")
	code, out := tool(t, "replay", "-target", server.URL, "-quiet", "100ms", "-json", "-junit", junit, s.out)
	var got struct {
		Results []struct {
			Recording   string
			Differences []struct{ Kind, What string }
		}
		Errors []string
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitDifferent || len(got.Results) != 1 || len(got.Results[0].Differences) == 0 {
		t.Errorf("exit code %d, %v: %s", code, err, out)
	}
	var suite junitSuite
	if err := xml.Unmarshal([]byte(readAll(t, junit)), &suite); err != nil || suite.Tests != 1 || suite.Failures != 1 {
		t.Errorf("%v: %s", err, readAll(t, junit))
	}
}

// The recorder and the replay send -header and -host.
func TestHeadersAndHostAreSent(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", r.Host, r.Header.Get("X-Key"), r.FormValue("a"))
	}))
	defer server.Close()
	s := startRecorder(t, "-target", server.URL, "-host", "shop.example", "-header", "X-Key: abc")
	for range 2 { // on one connection
		res, err := http.Post(s.URL, "application/x-www-form-urlencoded", strings.NewReader("a=b"))
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		_, _ = body.ReadFrom(res.Body)
		res.Body.Close()
		if body.String() != "shop.example abc b" {
			t.Errorf("the server saw %q", &body)
		}
	}
	s.end()
	if code, out := tool(t, "replay", "-target", server.URL, "-quiet", "10ms", s.out); code != exitSame {
		t.Errorf("as recorded: exit code %d, %s", code, out)
	}
	if code, out := tool(t, "replay", "-target", server.URL, "-quiet", "10ms", "-header", "X-Key: xyz", s.out); code != exitDifferent || !strings.Contains(out, "shop.example xyz b") {
		t.Errorf("with another header: exit code %d, %s", code, out)
	}
	if code, out := tool(t, "replay", "-target", server.URL, "-quiet", "10ms", "-host", "other.example", s.out); code != exitDifferent || !strings.Contains(out, "other.example abc b") {
		t.Errorf("with another host: exit code %d, %s", code, out)
	}
}

// A server with TLS is recorded and replayed.
func TestAServerWithTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "secret") }))
	defer server.Close()
	s := startRecorder(t, "-target", server.URL, "-insecure")
	res, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if r := s.end(); s.code != exitSame || len(r.Lines) != 1 {
		t.Errorf("exit code %d: %v", s.code, r.Lines)
	}
	if code, out := tool(t, "replay", "-target", server.URL, "-insecure", "-quiet", "10ms", s.out); code != exitSame {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out := tool(t, "replay", "-target", server.URL, "-quiet", "10ms", s.out); code == exitSame {
		t.Errorf("any certificate is accepted: %s", out)
	}
}

// Each command prints its help, and siotape its version.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-h"}, {"-version"}, {"record", "-h"}, {"replay", "-h"}, {"learn", "-h"}, {"show", "-h"}} {
		if code, out := tool(t, args...); code != exitSame || !strings.Contains(out, "siotape") {
			t.Errorf("%v: exit code %d, %s", args, code, out)
		}
	}
	for _, args := range [][]string{nil, {"play"}, {"record"}, {"record", "-nonsense"}, {"show"}, {"learn", "x.jsonl"}} {
		if code, out := tool(t, args...); code != exitFailed || out == "" {
			t.Errorf("%v: exit code %d, %s", args, code, out)
		}
	}
}

// A server is not started where another program listens.
func TestStartAtAnAddressInUse(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	code, out := tool(t, "record", "-start", "sleep 60", "-target", other.URL, "-listen", "127.0.0.1:0", "-out", filepath.Join(t.TempDir(), "session.jsonl"))
	if code != exitFailed || !strings.Contains(out, "another process already listens on "+strings.TrimPrefix(other.URL, "http://")) {
		t.Errorf("exit code %d: %s", code, out)
	}
}
