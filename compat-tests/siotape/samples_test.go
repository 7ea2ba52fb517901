package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"counting/compat-tests/results"
	"counting/compat-tests/subject"
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

// soak reports whether the tests are to run at full length.
func soak() bool { return os.Getenv("SOAK") != "" }

// transports are the ways in which the sample's clients connect.
var transports = []string{"polling", "websocket", "upgrade"}

// python is the interpreter that has what the sample needs.
func python() string {
	if p := os.Getenv("PYTHON"); p != "" {
		return p
	}
	return "/usr/bin/python3"
}

func needSamples(t *testing.T) {
	t.Helper()
	subject.Need(t, subject.PythonProgram)
	subject.Need(t, subject.NodeProgram)
}

// atOnce holds a place for each server that may be started at one time: more of
// them would only wait for a processor.
var atOnce = make(chan struct{}, 8)

// chat is the sample app in a directory of its own, with some of its texts
// changed; every one of them has to be there once.
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
				t.Fatalf("%s has %d times what is to be changed: %s", name, n, changes[i])
			}
			text = bytes.Replace(text, []byte(changes[i]), []byte(changes[i+1]), 1)
		}
		if name == "server.js" {
			name = "server.mjs" // no package.json says that it is a module
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := fmt.Sprintf("NODE_MODULES=%s CLIENT=%s/socket.io-client/dist/socket.io.min.js EVENTLET_NO_GREENDNS=yes exec ", modules, modules)
	if k == flask {
		return env + python() + " " + filepath.Join(dir, "server.py")
	}
	return env + "node " + filepath.Join(dir, "server.mjs")
}

// recordChat records a client of the sample on a kind of server. On a busy machine
// a client may poll once more after its session has ended, which the kinds of
// server answer differently: then it is recorded again.
func recordChat(t *testing.T, k kind, client, transport string) (file string) {
	t.Helper()
	for range 5 {
		file = recordChatOnce(t, k, client, transport)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !pollAfterEnd.Match(text) {
			return file
		}
		t.Log("a poll came after the end of its session: recorded again")
	}
	t.Fatal("a poll came after the end of its session in five recordings")
	return ""
}

// pollAfterEnd matches a recording in which a session that has ended was asked for:
// Flask answers 500, and Node that it does not know it.
var pollAfterEnd = regexp.MustCompile(`"status":500|Session ID unknown`)

func recordChatOnce(t *testing.T, k kind, client, transport string) (file string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), fmt.Sprintf("%s-%s.jsonl", strings.ToLower(k.name), transport))
	recordWith(t, chat(t, k), out, func(url string) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "node", "samples/chat/client.js", url, transport)
		if client == "client.py" {
			cmd = exec.CommandContext(ctx, python(), "samples/chat/client.py", url, transport)
		}
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", client, err, text)
		}
	})
	return out
}

// recordStaying records client.js, one of whose people is still there at the end.
func recordStaying(t *testing.T, k kind) (file string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "chat.jsonl")
	cmd := exec.Command("node")
	recordWith(t, chat(t, k), out, func(url string) {
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
	return out
}

// recordWith runs siotape record while clients do what they do.
func recordWith(t *testing.T, start, out string, clients func(url string)) {
	t.Helper()
	atOnce <- struct{}{}
	defer func() { <-atOnce }()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	said, saying := io.Pipe()
	printed := &tail{}
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"record", "-start", start, "-listen", "127.0.0.1:0", "-out", out}, io.MultiWriter(printed, saying), printed)
		saying.Close()
	}()
	buf := make([]byte, 4096)
	n, err := said.Read(buf)
	if err != nil {
		t.Fatalf("the recorder did not start: %s", printed)
	}
	go func() { _, _ = io.Copy(io.Discard, said) }()
	clients(regexp.MustCompile(`http://127\S+\s*$`).FindString(strings.TrimSpace(string(buf[:n]))))
	stop()
	if c := <-code; c != exitSame {
		t.Fatalf("exit code %d: %s", c, printed)
	}
}

// replayChat plays a recording and returns the exit code and what was printed.
func replayChat(t *testing.T, start, file string, args ...string) (int, string) {
	t.Helper()
	atOnce <- struct{}{}
	defer func() { <-atOnce }()
	var out bytes.Buffer
	// A busy machine is no difference: 4 s for each thing.
	all := append([]string{"replay", "-start", start, "-rules", "samples/chat/rules.yaml", "-patience", "4s"}, args...)
	code := run(t.Context(), append(all, file), &out, &out)
	return code, out.String()
}

// The same app on Flask and on Node is the same, recorded on either, over each
// transport, with each client, again and again.
func TestTheSameAppOnAnotherKindOfServerIsTheSame(t *testing.T) {
	t.Parallel()
	needSamples(t)
	times := 1
	if soak() {
		times = 10
	}
	table := results.New(t, "siotape-same", "client", "transport", "recorded on", "played on", "times", "the same")
	for _, k := range kinds {
		for _, transport := range transports {
			for _, client := range []string{"client.js", "client.py"} {
				if !soak() && client == "client.py" && transport != "upgrade" {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", k.name, transport, client), func(t *testing.T) {
					t.Parallel()
					file := recordChat(t, k, client, transport)
					for _, to := range []kind{k, k.other()} {
						same, times := 0, times
						if transport == "upgrade" { // which has the most that chance decides
							times *= 2
						}
						for i := range times {
							if code, out := replayChat(t, chat(t, to), file); code != exitSame || !strings.Contains(out, ": same") {
								t.Errorf("played on %s, time %d: exit code %d\n%s", to.name, i+1, code, out)
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

// recordedOnce is one recording for all who need it.
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
