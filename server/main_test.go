package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/lockedbuffer"
)

func TestMistakesAreReportedInOneLine(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // after the parallel subtests
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	broken := filepath.Join(dir, "broken")
	os.WriteFile(file, nil, 0o666)
	os.WriteFile(broken, []byte("one\ntwo\nfour\n"), 0o666)
	mixed := filepath.Join(dir, "mixed")
	os.WriteFile(mixed, []byte("one\nthree\ntwo\nfour\nfive\n"), 0o666)
	games := t.TempDir()
	for path, text := range map[string]string{"numbers.txt": "one\n", "games/blue/numbers.txt": "one\ntwo\n", "games/red/numbers.txt": "two\n", "games/x/numbers.txt": "one\nthree\n", "games/Y/other": ""} {
		path = filepath.Join(games, filepath.FromSlash(path))
		os.MkdirAll(filepath.Dir(path), 0o777)
		os.WriteFile(path, []byte(text), 0o666)
	}
	tests := []struct {
		name string
		args []string
		env  map[string]string
		want []string
	}{
		{"unknown_flag", []string{"-colour", "red"}, nil, []string{"-colour", "server -h"}},
		{"bad_flag_value", []string{"-faithful=perhaps"}, nil, []string{"perhaps", "-faithful"}},
		{"unexpected_argument", []string{"start"}, nil, []string{`"start"`, "server -h"}},
		{"bad_environment", nil, map[string]string{"FAITHFUL": "perhaps"}, []string{"FAITHFUL", `"perhaps"`}},
		{"bad_address", []string{"-addr", "5000"}, nil, []string{`-addr "5000"`, ":5000"}},
		{"bad_port", []string{"-addr", ":99999"}, nil, []string{"-addr", ":99999"}},
		{"bad_log_format", []string{"-log-format", "xml"}, nil, []string{`"xml"`, "text", "json"}},
		{"bad_log_level", []string{"-log-level", "loud"}, nil, []string{`"loud"`, "-log-level", "debug, info, warn or error"}},
		{"bad_log_level_in_the_environment", nil, map[string]string{"LOG_LEVEL": "loud"}, []string{"LOG_LEVEL", `"loud"`, "debug, info, warn or error"}},
		{"bad_limit", []string{"-limit", "-1"}, nil, []string{"-limit", "below 0"}},
		{"limit_of_the_original", []string{"-limit", "5", "-faithful"}, nil, []string{"-limit", "-faithful"}},
		{"bad_goal", []string{"-goal", "-1"}, nil, []string{"-goal", "below 0"}},
		{"bad_origin", []string{"-origins", "example.org"}, nil, []string{`"example.org"`, "https://example.org"}},
		{"bad_frame_ancestor", []string{"-frame-ancestors", "example.org"}, nil, []string{`"example.org"`, "-frame-ancestors", "https://slides.example.org"}},
		{"frame_ancestor_with_a_directive", []string{"-frame-ancestors", "https://a.example; script-src *"}, nil, []string{"-frame-ancestors"}},
		{"bad_max_readers", []string{"-max-readers", "-1"}, nil, []string{"-max-readers", "below 0"}},
		{"empty_data", []string{"-data", ""}, nil, []string{"-data is empty"}},
		{"empty_address", []string{"-addr", ""}, nil, []string{"-addr is empty"}},
		{"empty_file_to_verify", []string{"-verify", ""}, nil, []string{"-verify is empty"}},
		{"empty_origins", []string{"-origins="}, nil, []string{"-origins is empty"}},
		{"data_is_a_file", []string{"-addr", "127.0.0.1:0", "-data", file}, nil, []string{file, "-data must name a directory"}},
		{"port_in_use", []string{"-addr", taken.Addr().String(), "-data", dir}, nil, []string{taken.Addr().String(), "in use", "another -addr"}},
		{"not_healthy", []string{"-check", "-addr", "127.0.0.1:1"}, nil, []string{"not healthy", "127.0.0.1:1"}},
		{"broken_count", []string{"-verify", broken}, nil, []string{broken, "up to line 2", `line 3 is "four", not "three"`, "continues with 3"}},
		{"count_that_the_original_began", []string{"-verify", mixed}, nil, []string{"up to line 1", `line 2 is "three"`, "all numbers up to 5 are in it", "continues with 6"}},
		{"broken_count_of_a_game", []string{"-verify", games}, nil, []string{"2 of 4 files are not unbroken counts", filepath.Join("games", "red"), `line 1 is "two"`, filepath.Join("games", "x"), `line 2 is "three"`}},
		{"no_game_to_verify", []string{"-verify", filepath.Join(games, "games", "Y")}, nil, []string{"does not contain a numbers.txt"}},
		{"bad_game", []string{"-games", "blue,Red"}, nil, []string{"-games", `"Red"`, "a-z"}},
		{"bad_max_games", []string{"-max-games", "-1"}, nil, []string{"-max-games", "below 0"}},
		{"nothing_to_verify", []string{"-verify", file + "s"}, nil, []string{file + "s"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			lookup := func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok }
			err := run(ctx, tt.args, lookup, new(lockedbuffer.Buffer))
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %v", err)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q: %v", part, err)
				}
			}
		})
	}
}

// Documentation that lists flags lists all of them.
func TestTheReadmeNamesEveryFlag(t *testing.T) {
	t.Parallel()
	out := new(lockedbuffer.Buffer)
	if err := run(context.Background(), []string{"-h"}, noEnv, out); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	var readme strings.Builder
	for _, file := range []string{"../README.md", "README.md"} {
		if text, err := os.ReadFile(file); err == nil {
			readme.Write(text)
		}
	}
	flags := regexp.MustCompile(`(?m)^  (-[a-z-]+)`).FindAllStringSubmatch(out.String(), -1)
	if len(flags) < 10 {
		t.Fatalf("the help names %d flags:\n%s", len(flags), out)
	}
	for _, name := range flags {
		if name[1] != "-version" && !regexp.MustCompile("`"+name[1]+"[` ]").MatchString(readme.String()) {
			t.Errorf("the README does not name %s", name[1])
		}
	}
}

func TestFlagsInAnyCase(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]slog.Level{"DEBUG": slog.LevelDebug, "Info": slog.LevelInfo, "warn": slog.LevelWarn,
		"WARNING": slog.LevelWarn, "warning": slog.LevelWarn, "Error": slog.LevelError} {
		env := map[string]string{"LOG_LEVEL": value, "LOG_FORMAT": "JSON"}
		c, err := parseConfig(nil, func(name string) (string, bool) { v, ok := env[name]; return v, ok }, new(lockedbuffer.Buffer))
		if err != nil || c.logLevel != want || c.logFormat != "json" {
			t.Errorf("%s: level is %v, format %q, %v", value, c.logLevel, c.logFormat, err)
		}
	}
}

// A signal while the server starts is a clean stop, as it is later. It ended with an
// error.
func TestAStopDuringTheStart(t *testing.T) {
	t.Parallel()
	used, free := t.TempDir(), t.TempDir()
	path := filepath.Join(used, "numbers.txt")
	startServerIn(t, used)
	if err := os.Link(path, filepath.Join(free, "numbers.txt")); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"without_etcd": {"-store", "etcd://127.0.0.1:1"}, "while_another_server_has_the_file": {"-data", free},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, stop := context.WithCancelCause(t.Context())
			defer stop(nil)
			log, ended := new(lockedbuffer.Buffer), make(chan error, 1)
			go func() {
				ended <- run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), noEnv, log)
			}()
			waitFor(t, "the server to wait", func() bool { return strings.Contains(log.String(), "Waiting for ") })
			stop(errors.New("a signal"))
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(timeout):
				t.Error("it does not end")
			}
		})
	}
}

// Server and client exit with the same codes.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	lookup := func(name string) (string, bool) { return "x", name == "GOAL" }
	if err := run(t.Context(), nil, lookup, new(lockedbuffer.Buffer)); !errors.As(err, new(usageError)) {
		t.Errorf("a bad variable is %T", err)
	}
	if err := run(t.Context(), []string{"-patience", "x"}, noEnv, new(lockedbuffer.Buffer)); !errors.As(err, new(usageError)) {
		t.Errorf("a bad flag is %T", err)
	}
	if err := run(t.Context(), []string{"-check", "-addr", "127.0.0.1:1"}, noEnv, new(lockedbuffer.Buffer)); err == nil || errors.As(err, new(usageError)) {
		t.Errorf("an unhealthy server is %T", err)
	}
}

func TestTheEnvironmentSetsWhatNoFlagDoes(t *testing.T) {
	t.Parallel()
	env := map[string]string{"ADDR": ":1", "LOG_FORMAT": "json", "FAITHFUL": "true", "ORIGINS": "http://a.example, https://b.example", "CHECK": "true"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	c, err := parseConfig([]string{"-addr", ":2"}, lookup, new(lockedbuffer.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	if c.addr != ":2" || c.logFormat != "json" || !c.faithful || c.check || strings.Join(c.origins, " ") != "http://a.example https://b.example" {
		t.Errorf("got %+v", c)
	}
}

func TestCheckAndVerifyTellWhatIsWell(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	addr := strings.TrimPrefix(s.url, "http://")
	if err := run(context.Background(), []string{"-check", "-addr", addr}, noEnv, new(lockedbuffer.Buffer)); err != nil {
		t.Error(err)
	}
	out := new(lockedbuffer.Buffer)
	if err := run(context.Background(), []string{"-verify", filepath.Join(s.data, "numbers.txt")}, noEnv, out); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "unbroken count of 0 lines") {
		t.Errorf("it says %q", out)
	}
	a, _ := joinTwo(t, s.inGame("game=blue"))
	a.send(number("1", "client1", 1))
	a.expect("431[]")
	out = new(lockedbuffer.Buffer)
	if err := run(context.Background(), []string{"-verify", s.data}, noEnv, out); err != nil {
		t.Error(err)
	}
	if want := filepath.Join("blue", "numbers.txt") + " is an unbroken count of 1 lines\n"; strings.Count(out.String(), "\n") != 2 || !strings.HasSuffix(out.String(), want) {
		t.Errorf("of a directory it says %q", out)
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	only := startServer(t, "-origins", "https://a.example")
	const (
		html    = "text/html; charset=utf-8"
		version = `"The client is using an unsupported version of the Socket.IO or Engine.IO protocols"`
	)
	tests := []struct {
		name, method, url string
		header            http.Header
		status            int
		contentType, body string
		want              http.Header
	}{
		{"health", "GET", s.url + "/health", nil, 200, html, "OK", nil},
		{"health_head", "HEAD", s.url + "/health", nil, 200, html, "", nil},
		{"health_post", "POST", s.url + "/health", nil, 405, html, notAllowedPage, nil},
		{"ready", "GET", s.url + "/ready", nil, 200, html, "OK", nil},
		{"not_found", "GET", s.url + "/nowhere", nil, 404, html, notFoundPage, nil},
		{"not_found_without_slash", "GET", s.url + "/socket.io", nil, 404, html, notFoundPage, nil},
		{"no_version", "GET", s.url + "/socket.io/", nil, 400, "text/plain", version, nil},
		{"version_3", "GET", s.url + "/socket.io/?EIO=3&transport=polling", nil, 400, "text/plain", version, nil},
		{"unknown_transport", "GET", s.url + "/socket.io/?EIO=4&transport=carrier-pigeon", nil, 400, "text/plain", `"Invalid transport"`, nil},
		{"unknown_session", "GET", s.url + "/socket.io/?EIO=4&transport=polling&sid=x", nil, 400, "text/plain", `"Invalid session"`, nil},
		{"post_without_session", "POST", s.url + "/socket.io/?EIO=4&transport=polling", nil, 400, "text/plain", `"Invalid session"`, nil},
		{"websocket_without_upgrade", "GET", s.url + "/socket.io/?EIO=4&transport=websocket", nil, 400, "text/plain", `"Invalid websocket upgrade"`, nil},
		{"put", "PUT", s.url + "/socket.io/?EIO=4&transport=polling", nil, 405, "text/plain", "Method Not Found", nil},
		{"options", "OPTIONS", s.url + "/socket.io/?EIO=4&transport=polling", http.Header{"Origin": {"http://x.example"}, "Access-Control-Request-Headers": {"x-a"}},
			200, "text/plain", "OK", http.Header{"Access-Control-Allow-Origin": {"http://x.example"}, "Access-Control-Allow-Methods": {"OPTIONS, GET, POST"},
				"Access-Control-Allow-Headers": {"x-a"}, "Access-Control-Allow-Credentials": {"true"}}},
		{"any_origin_is_reflected", "GET", s.url + "/socket.io/?EIO=4&transport=polling", http.Header{"Origin": {"http://x.example"}},
			200, "text/plain; charset=UTF-8", "", http.Header{"Access-Control-Allow-Origin": {"http://x.example"}, "Access-Control-Allow-Credentials": {"true"}}},
		{"listed_origin", "GET", only.url + "/socket.io/?EIO=4&transport=polling", http.Header{"Origin": {"https://a.example"}},
			200, "text/plain; charset=UTF-8", "", http.Header{"Access-Control-Allow-Origin": {"https://a.example"}}},
		{"unlisted_origin", "GET", only.url + "/socket.io/?EIO=4&transport=polling", http.Header{"Origin": {"https://b.example"}},
			400, "text/plain", `"Not an accepted origin."`, http.Header{"Access-Control-Allow-Origin": nil}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequest(tt.method, tt.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = tt.header
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			var body strings.Builder
			if _, err := io.Copy(&body, response.Body); err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != tt.status || response.Header.Get("Content-Type") != tt.contentType || tt.body != "" && body.String() != tt.body {
				t.Errorf("got %d, %q, %q", response.StatusCode, response.Header.Get("Content-Type"), body.String())
			}
			for name, values := range tt.want {
				if got := strings.Join(response.Header.Values(name), "|"); got != strings.Join(values, "|") {
					t.Errorf("%s is %q, want %q", name, got, values)
				}
			}
		})
	}
}

// A client that connects and leaves must not leak goroutines. This test is not parallel,
// since it counts the goroutines of the whole process.
func TestNothingGrows(t *testing.T) {
	s := startServer(t)
	a, b := joinTwo(t, s)
	connects := func(times int) {
		together(t, times, func() error {
			p := dial(t, s)
			p.send("40")
			return p.conn.Close()
		})
	}
	settled := func() int {
		http.DefaultClient.CloseIdleConnections()
		last, since := runtime.NumGoroutine(), time.Now()
		for time.Since(since) < 200*time.Millisecond {
			time.Sleep(10 * time.Millisecond)
			if n := runtime.NumGoroutine(); n != last {
				last, since = n, time.Now()
			}
		}
		return last
	}
	connects(100)
	before := settled()
	connects(2000)
	if after := settled(); after > before+10 {
		t.Errorf("%d goroutines before 2,000 connects, %d after", before, after)
	}
	a.send(number("1", "client1", 1))
	a.expect("431[]")
	b.send(number("1", "client2", 2))
	b.expect("431[]")
}

func TestReadyTellsWhyTheFileCannotBeWritten(t *testing.T) {
	t.Parallel()
	full := func(*http.Request) error { return errors.New("no space left on device") }
	server := httptest.NewServer(routes(http.NotFoundHandler(), full, nil))
	defer server.Close()
	status, body, _ := request(t, http.MethodGet, server.URL+"/ready", nil)
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "no space left on device") {
		t.Errorf("/ready answers %d %q", status, body)
	}
	if status, body, _ := request(t, http.MethodGet, server.URL+"/health", nil); status != http.StatusOK {
		t.Errorf("/health answers %d %q: a full disk is no reason to be killed", status, body)
	}
}
