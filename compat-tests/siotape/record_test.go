package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"counting/compat-tests/harness"
	"counting/compat-tests/siotape/replay"
	"counting/compat-tests/siotape/rules"
	"counting/compat-tests/siotape/tape"
)

func TestMain(m *testing.M) { harness.Main(m) }

// A recorder is a running siotape record.
type recorder struct {
	t      *testing.T
	URL    string
	stop   context.CancelFunc
	out    string
	done   chan int
	code   int
	output tail // of the command
}

// startRecorder starts siotape record with these flags, of which -target or -start is
// required.
func startRecorder(t *testing.T, args ...string) *recorder {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &recorder{t: t, stop: stop, out: filepath.Join(t.TempDir(), "session.jsonl"), done: make(chan int, 1)}
	lines, printing := io.Pipe()
	args = append([]string{"record", "-listen", "127.0.0.1:0", "-out", s.out}, args...)
	go func() {
		s.done <- run(ctx, args, io.MultiWriter(printing, &s.output), os.Stderr)
		printing.Close()
		close(s.done)
	}()
	t.Cleanup(func() {
		stop()
		for range s.done { // until a server that it started has ended
		}
	})
	var line strings.Builder
	for b := make([]byte, 1); b[0] != '\n'; line.Write(b) {
		if _, err := lines.Read(b); err != nil {
			t.Fatalf("the recorder did not start: %v", <-s.done)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	s.URL = regexp.MustCompile(`http://127\S+$`).FindString(strings.TrimSpace(line.String()))
	return s
}

// end stops the recorder, as SIGTERM does, and returns the recording.
func (s *recorder) end() *tape.Recording {
	s.t.Helper()
	s.stop()
	s.code = <-s.done
	r, err := tape.ReadFile(s.out)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// shape returns what one side of a session did, or HTTP exchanges, with masked ids and
// without what depends on timing, such as pings.
func shape(r *tape.Recording, session, from string) []string {
	ids := regexp.MustCompile(`"sid":"[^"]*"`)
	var lines []string
	left := false
	for _, l := range r.Lines {
		if l.Session == session && l.Close && l.Over == "polling" && l.From == tape.Client {
			left = true
			continue // it is random whether a poll waits at the end
		}
		if l.Session != session || l.String() == "6" || l.String() == "an empty poll" || l.String() == "2" || l.String() == "3" {
			continue
		}
		left = left || l.From == tape.Client && (l.Close || l.String() == "1")
		if l.From != from || left && from == tape.Server {
			continue // it is random what a client receives after it has left
		}
		if l.HTTP != nil { // version 1 has only some headers
			x := *l.HTTP
			x.ResponseHeaders = nil
			l.HTTP = &x
		}
		lines = append(lines, l.Over+" "+ids.ReplaceAllString(l.String(), `"sid":"…"`))
	}
	return lines
}

// sameShape compares a recording with a given one, session by session.
func sameShape(t *testing.T, got, want *tape.Recording, without func(string) bool) {
	t.Helper()
	seen := map[string]bool{}
	for _, l := range want.Lines {
		if key := l.Session + l.From; !seen[key] {
			seen[key] = true
			g, w := shape(got, l.Session, l.From), shape(want, l.Session, l.From)
			g, w = slices.DeleteFunc(g, without), slices.DeleteFunc(w, without)
			if !slices.Equal(g, w) {
				t.Errorf("session %s, from %s:\n  recorded now:\n    %s\n  recorded before:\n    %s", l.Session, l.From,
					strings.Join(g, "\n    "), strings.Join(w, "\n    "))
			}
		}
	}
}

func given(t *testing.T, name string) *tape.Recording {
	t.Helper()
	r, err := tape.ReadFile(filepath.Join("..", "recordings", name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func isNumber(line string) bool { return strings.Contains(line, `42["number"`) }

func TestPythonClientsGiveWhatWasRecorded(t *testing.T) {
	t.Parallel()
	flask := harness.Flask(t)
	s := startRecorder(t, "-target", flask.URL, "-state", filepath.Join(flask.Dir, "numbers.txt"))
	start := func() *harness.Program { return harness.Python.Start(t, s.URL, 120*time.Millisecond, 2000) }
	client1 := start()
	client1.Prints(t, "Connected to server!")
	client2 := start()
	client1.Prints(t, "counting: nine")
	client2.Prints(t, "counting: eight")
	client1.Kill()
	client2.Prints(t, "Game stopped!")
	client2.Kill()
	flask.Prints(t, "client2 disconnected")
	got := s.end()

	sameShape(t, got, given(t, "two-python-clients"), isNumber)
	for session, want := range map[string]string{"A": `{"client_id":"client1","number":1}`, "B": `{"client_id":"client2","number":2}`} {
		lines := shape(got, session, tape.Client)
		i := slices.IndexFunc(lines, isNumber)
		if i < 0 || !strings.HasSuffix(lines[i], want+"]") {
			t.Errorf("session %s does not begin to count with %s: %s", session, want, lines)
		}
	}
	if len(*got.End.State) < 8 || len(*got.End.State) != strings.Count(strings.Join(append(shape(got, "A", tape.Client), shape(got, "B", tape.Client)...), "\n"), "number\":") {
		t.Errorf("numbers.txt has %d lines: %s", len(*got.End.State), *got.End.State)
	}
}

// A recorder between a replay and the server causes no differences, and records the same
// again.
func TestReplayedRecordingIsRecordedAgain(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"plain-http", "third-client", "upgrade-mid-game", "one-python-client", "odd-payloads", "binary-numbers",
		"cors", "session-is-over", "packets-in-one-post", "refused-websockets", "big-payloads",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flask := harness.Flask(t)
			s := startRecorder(t, "-target", flask.URL)
			r := given(t, name)
			rs, err := rules.ReadFile(filepath.Join("..", "recordings", rules.FileName))
			if err != nil {
				t.Fatal(err)
			}
			res, err := replay.Replay(t.Context(), r, replay.Options{Target: s.URL, State: flask.Numbers, Rules: rs, Patience: 10 * time.Second})
			if err != nil || !res.Same() {
				t.Fatalf("%+v %v", res, err)
			}
			sameShape(t, s.end(), r, func(string) bool { return false })
		})
	}
}

func TestCompressedFramesAreRecordedUncompressed(t *testing.T) {
	t.Parallel()
	flask := harness.Flask(t)
	s := startRecorder(t, "-target", flask.URL)
	dialer := websocket.Dialer{EnableCompression: true}
	ws, res, err := dialer.Dial(strings.Replace(s.URL, "http", "ws", 1)+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if !strings.Contains(res.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate") {
		t.Fatalf("no compression was agreed on: %v", res.Header)
	}
	number := `427["number",{"client_id":"client1","number":1}]`
	for _, packet := range []string{"40", number} {
		if err := ws.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
			t.Fatal(err)
		}
	}
	for {
		_, data, err := ws.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if string(data) == "437[]" {
			break
		}
	}
	got := s.end()
	if want := []string{"websocket opens websocket", "websocket 40", "websocket " + number}; !slices.Equal(shape(got, "A", tape.Client), want) {
		t.Errorf("from the client: %q", shape(got, "A", tape.Client))
	}
	if from := shape(got, "A", tape.Server); len(from) != 4 || from[3] != "websocket 437[]" {
		t.Errorf("from the server: %q", from)
	}
}

func TestBytesPassUnchanged(t *testing.T) {
	t.Parallel()
	// A server that sends back all data when the client has finished.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				data, _ := io.ReadAll(conn)
				_, _ = conn.Write(data)
			}()
		}
	}()
	s := startRecorder(t, "-target", "http://"+l.Addr().String())
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			sent := make([]byte, 3<<20)
			_, _ = rand.Read(sent)
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, err = conn.Write(sent)
			got, err2 := io.ReadAll(afterCloseWrite(conn))
			if err := errors.Join(err, err2); err != nil || !bytes.Equal(sent, got) {
				t.Errorf("sent %d bytes, got %d others: %v", len(sent), len(got), err)
			}
		})
	}
	clients.Wait()
	r := s.end()
	for _, l := range r.Lines {
		if l.NotUnderstood == "" {
			t.Errorf("noise was recorded as %v", l)
		}
	}
	if len(r.Lines) != 4 || s.code != exitInPart {
		t.Errorf("%d lines, exit code %d: the noise was not reported", len(r.Lines), s.code)
	}
}

func afterCloseWrite(conn net.Conn) net.Conn {
	_ = conn.(*net.TCPConn).CloseWrite()
	return conn
}
