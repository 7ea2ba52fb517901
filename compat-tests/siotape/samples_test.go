package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/compat-tests/results"
	"counting/compat-tests/siotape/tape"
)

// A kind is a kind of server that the sample chat is written for.
type kind struct {
	name, file string
}

var (
	flask = kind{"Flask", "server.py"}
	node  = kind{"Node", "server.js"}
	kinds = []kind{flask, node}
)

func (k kind) other() kind {
	if k == flask {
		return node
	}
	return flask
}

// transports are the ways in which the sample's clients connect.
var transports = []string{"polling", "websocket", "upgrade"}

func needSamples(t *testing.T) {
	t.Helper()
	harness.Need(t, harness.PythonProgram)
	harness.Need(t, harness.NodeProgram)
}

// atOnce bounds how many servers run at the same time: more of them would only wait for
// the processor.
var atOnce = make(chan struct{}, 8)

// chat copies the sample app to a directory, replaces some of its texts, each of which
// must occur once, and returns the command that starts it.
func chat(t *testing.T, k kind, changes ...string) (start string) {
	t.Helper()
	modules, err := filepath.Abs("../javascript/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{k.file, "page.html"} {
		text, err := os.ReadFile(filepath.Join("samples", "chat", name))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; name == k.file && i+1 < len(changes); i += 2 {
			if n := bytes.Count(text, []byte(changes[i])); n != 1 {
				t.Fatalf("%s has %d times the text to replace: %s", name, n, changes[i])
			}
			text = bytes.Replace(text, []byte(changes[i]), []byte(changes[i+1]), 1)
		}
		if name == "server.js" {
			name = "server.mjs" // as there is no package.json that makes it a module
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := fmt.Sprintf("NODE_MODULES=%s CLIENT=%s/socket.io-client/dist/socket.io.min.js EVENTLET_NO_GREENDNS=yes exec ", modules, modules)
	if k == flask {
		return env + harness.PythonPath(t) + " " + filepath.Join(dir, "server.py")
	}
	return env + "node " + filepath.Join(dir, "server.mjs")
}

// recordChat records a client of the sample on a kind of server. On a busy machine a
// client may poll after its session has ended, which the kinds of server answer
// differently: then recordChat records it again.
func recordChat(t *testing.T, k kind, client, transport string) (file string) {
	t.Helper()
	for range 5 {
		file = recordWith(t, chat(t, k), func(url string) { runClient(t, client, url, transport) })
		r, err := tape.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(r.Lines, pollAfterEnd) {
			return file
		}
		t.Log("a poll came after the end of its session: recording again")
	}
	t.Fatal("a poll came after the end of its session in five recordings")
	return ""
}

// pollAfterEnd reports whether a line is a polling request to an ended session: Flask
// answers 500, Node that the session is unknown.
func pollAfterEnd(l tape.Line) bool {
	if l.HTTP == nil || l.HTTP.Status != http.StatusInternalServerError && !strings.Contains(l.HTTP.Response, "Session ID unknown") {
		return false
	}
	u, err := url.Parse(l.HTTP.URL)
	return err == nil && u.Path == "/socket.io/" && u.Query().Get("transport") == "polling" && u.Query().Has("sid")
}

// runClient runs a client of the sample, and waits until it ends.
func runClient(t *testing.T, client, url, transport string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	program := "node"
	if client == "client.py" {
		program = harness.PythonPath(t)
	}
	cmd := exec.CommandContext(ctx, program, "samples/chat/"+client, url, transport)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", client, err, text)
	}
}

// A client waits for a server that takes longer than the second that the Python client's
// connect waits by default.
func TestTheSampleClientsWaitForASlowServer(t *testing.T) {
	t.Parallel()
	needSamples(t)
	start := chat(t, flask, `@socketio.on("hello")`, `@socketio.on("connect")
def slow(auth=None):
    time.sleep(2)


@socketio.on("hello")`)
	for _, client := range []string{"client.js", "client.py"} {
		file := recordWith(t, start, func(url string) { runClient(t, client, url, "upgrade") })
		if text, err := os.ReadFile(file); err != nil || !bytes.Contains(text, []byte("left")) {
			t.Errorf("%s: its session is not whole: %v", client, err)
		}
	}
}

// recordStaying records client.js, one of whose users is still connected at the end.
func recordStaying(t *testing.T, k kind) (file string) {
	t.Helper()
	cmd := exec.Command("node")
	file = recordWith(t, chat(t, k), func(url string) {
		cmd.Args = append(cmd.Args, "samples/chat/client.js", url, "websocket")
		cmd.Env = append(os.Environ(), "STAY=1")
		said, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(said).ReadString('\n'); err != nil {
			t.Errorf("client.js: %q, %v", line, err)
		}
	})
	if err := cmd.Wait(); err != nil {
		t.Errorf("client.js: %v", err)
	}
	return file
}

// recordWith records what clients does on a server that the command starts.
func recordWith(t *testing.T, start string, clients func(url string)) (file string) {
	t.Helper()
	atOnce <- struct{}{}
	defer func() { <-atOnce }()
	s := startRecorder(t, "-start", start)
	clients(s.URL)
	s.end()
	if s.code != exitSame {
		t.Fatalf("exit code %d: %s", s.code, &s.output)
	}
	return s.out
}

// replayChat replays a recording and returns the exit code and output.
func replayChat(t *testing.T, start, file string, args ...string) (int, string) {
	t.Helper()
	atOnce <- struct{}{}
	defer func() { <-atOnce }()
	var out bytes.Buffer
	// 4 s of patience, so that a busy machine does not cause differences.
	all := append([]string{"replay", "-start", start, "-rules", "samples/chat/rules.yaml", "-patience", "4s"}, args...)
	code := run(t.Context(), append(all, file), &out, &out)
	return code, out.String()
}

// The same app on Flask and on Node shows no differences, recorded on either of them, over
// each transport, with each client.
func TestTheSameAppOnAnotherKindOfServerIsTheSame(t *testing.T) {
	t.Parallel()
	needSamples(t)
	times := 1
	if harness.Soak() {
		times = 10
	}
	table := results.New(t, "siotape-same", "client", "transport", "recorded on", "replayed on", "times", "without differences")
	for _, k := range kinds {
		for _, transport := range transports {
			for _, client := range []string{"client.js", "client.py"} {
				if !harness.Soak() && client == "client.py" && transport != "upgrade" {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", k.name, transport, client), func(t *testing.T) {
					t.Parallel()
					file := recordChat(t, k, client, transport)
					for _, to := range []kind{k, k.other()} {
						same, times := 0, times
						if transport == "upgrade" { // which depends most on timing
							times *= 2
						}
						for i := range times {
							if code, out := replayChat(t, chat(t, to), file); code != exitSame || !strings.Contains(out, ": same") {
								t.Errorf("replayed on %s, time %d: exit code %d\n%s", to.name, i+1, code, out)
								continue
							}
							same++
						}
						table.Row(client, transport, k.name, to.name, times, same)
					}
				})
			}
		}
	}
}

// recordedOnce returns a recording that tests share.
var recordedOnce = map[kind]func(t *testing.T) string{flask: once(flask), node: once(node)}

func once(k kind) func(*testing.T) string {
	var mu sync.Mutex
	var text []byte
	return func(t *testing.T) string {
		mu.Lock()
		defer mu.Unlock()
		if text == nil {
			var err error
			if text, err = os.ReadFile(recordStaying(t, k)); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(t.TempDir(), strings.ToLower(k.name)+".jsonl")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
}
