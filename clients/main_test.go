package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"counting/clients/socketio/socketiotest"
)

// asClient makes the test binary act as the client.
const asClient = "RUN_AS_CLIENT"

func TestMain(m *testing.M) {
	if os.Getenv(asClient) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// client returns the client as a separate process.
func client(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	// The race detector would delay the exit by a second.
	cmd.Env = append([]string{asClient + "=1", "GORACE=atexit_sleep_ms=0"}, env...)
	return cmd
}

// environment returns a getenv for pairs of names and values.
func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	type want struct {
		server   string
		limit    int64
		interval time.Duration
		stay     bool
	}
	const local = "http://localhost:5000/socket.io/?EIO=4"
	tests := []struct {
		name string
		args []string
		env  []string
		want want
	}{
		{"nothing given", nil, nil, want{local, 2000, time.Second, false}},
		{"empty variables", nil, []string{"SERVER_URL", "", "LIMIT", "", "INTERVAL", "", "STAY", ""}, want{local, 2000, time.Second, false}},
		{"variables", nil, []string{"SERVER_URL", "http://server:80", "LIMIT", "7", "INTERVAL", "10ms", "STAY", "true"},
			want{"http://server:80/socket.io/?EIO=4", 7, 10 * time.Millisecond, true}},
		{"flags", []string{"-server", "http://server:80", "-limit", "7", "-interval", "0", "-stay"}, nil,
			want{"http://server:80/socket.io/?EIO=4", 7, 0, true}},
		{"a game", []string{"-game", "blue"}, []string{"SERVER_URL", "http://s?token=x"}, want{"http://s/socket.io/?EIO=4&game=blue&token=x", 2000, time.Second, false}},
		{"a game in the environment", nil, []string{"GAME", "blue"}, want{local + "&game=blue", 2000, time.Second, false}},
		{"a game in the URL", nil, []string{"SERVER_URL", "http://s?game=blue"}, want{"http://s/socket.io/?EIO=4&game=blue", 2000, time.Second, false}},
		{"the same game twice", []string{"-game", "blue"}, []string{"SERVER_URL", "http://s?game=blue"}, want{"http://s/socket.io/?EIO=4&game=blue", 2000, time.Second, false}},
		{"flags go before variables, good or bad", []string{"-limit", "7", "-stay=false"}, []string{"LIMIT", "x", "STAY", "true"},
			want{local, 7, time.Second, false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := parse(tt.args, environment(tt.env...), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := (want{c.Server.String(), c.Limit, c.Interval, c.Stay}); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestInvalidSettings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		env  []string
		want []string // what the error must contain
	}{
		{"a URL without a scheme", []string{"-server", "localhost:5000"}, nil, []string{"-server", `"localhost:5000"`, "http://localhost:5000"}},
		{"an unparseable URL", nil, []string{"SERVER_URL", "http://[::1"}, []string{"SERVER_URL", `"http://[::1"`, "http://localhost:5000"}},
		{"a limit of words", []string{"-limit", "ten"}, nil, []string{"-limit", `"ten"`, "whole number"}},
		{"a limit of nothing", nil, []string{"LIMIT", "0"}, []string{"LIMIT", `"0"`, "from 1"}},
		{"a limit that JSON cannot hold", []string{"-limit", "9007199254740992"}, nil, []string{"-limit", "9007199254740991"}},
		{"an interval without unit", []string{"-interval", "5"}, nil, []string{"-interval", `"5"`, "10ms"}},
		{"an interval below nothing", nil, []string{"INTERVAL", "-1s"}, []string{"INTERVAL", `"-1s"`, "10ms"}},
		{"a health address without a port", nil, []string{"HEALTH", "localhost"}, []string{"HEALTH", `"localhost"`, "127.0.0.1:5001"}},
		{"an invalid game", []string{"-game", "Blue"}, nil, []string{"-game", `"Blue"`, "a-z"}},
		{"an invalid game in the environment", nil, []string{"GAME", "../x"}, []string{"GAME", `"../x"`, "a-z"}},
		{"two games", []string{"-game", "blue"}, []string{"SERVER_URL", "http://s?game=red"}, []string{"-game", `"blue"`, "game=red"}},
		{"a game and none", []string{"-game", "blue"}, []string{"SERVER_URL", "http://s?game="}, []string{"-game", `"blue"`, "game="}},
		{"a check of nothing", []string{"-check"}, nil, []string{"-check", "-health"}},
		{"a stay that is neither", []string{"-stay=maybe"}, nil, []string{"-stay", `"maybe"`, "true or false"}},
		{"an unknown flag", []string{"-lmit", "5"}, nil, []string{"-lmit", "-h"}},
		{"an argument", []string{"http://localhost:5000"}, nil, []string{`"http://localhost:5000"`, "-h"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stdout bytes.Buffer
			err := run(t.Context(), tt.args, environment(tt.env...), &stdout)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not name %s", err, part)
				}
			}
			if strings.Contains(err.Error(), "\n") || stdout.Len() > 0 {
				t.Errorf("%q is not one line, or something is on stdout: %q", err, stdout.String())
			}
		})
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	t.Parallel()
	var stdout bytes.Buffer
	if err := run(t.Context(), []string{"-h"}, environment("LIMIT", "x"), &stdout); err != nil {
		t.Fatal(err)
	}
	for _, s := range settings(new(config)) {
		for _, part := range []string{"-" + s.name, s.env, s.value} {
			if !strings.Contains(stdout.String(), part) {
				t.Errorf("-h does not name %s", part)
			}
		}
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		code int
	}{
		{"help", []string{"-h"}, 0},
		{"version", []string{"-version"}, 0},
		{"a bad flag", []string{"-limit", "0"}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := client(t, nil, tt.args...)
			err := cmd.Run()
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
		})
	}
}

func TestSignalsEndItCleanly(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			left := make(chan string, 1)
			server := socketiotest.Serve(t, func(_ int, s *socketiotest.Session) {
				s.Open()
				frame, _ := s.Next()
				left <- frame
			})
			server.Scheme, server.Path, server.RawQuery = "http", "", ""
			cmd := client(t, []string{"SERVER_URL=" + server.String()})
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stdout)
			for lines.Scan() && lines.Text() != "Connected to server!" {
			}
			began := time.Now()
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v", took)
			}
			if frame := <-left; frame != "41" {
				t.Errorf("the last frame is %q, want 41", frame)
			}
		})
	}
}
