package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"counting/compat-tests/harness"
	"counting/compat-tests/siotape/tape"
)

// scripted is a server that answers the n-th request of each connection with the bytes of
// the n-th text.
func scripted(t *testing.T, answers ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for _, answer := range answers {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					_, _ = io.WriteString(conn, answer)
				}
				_, _ = in.ReadByte()
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// ask sends requests on one connection and reads until it has received the text want.
func ask(t *testing.T, url string, want string, requests ...string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	var got bytes.Buffer
	for _, r := range requests {
		if _, err := io.WriteString(conn, r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // so that the next one is a separate chunk
	}
	buf := make([]byte, 4096)
	for !strings.Contains(got.String(), want) {
		n, err := conn.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			t.Fatalf("received %q, want %q in it: %v", got.String(), want, err)
		}
	}
}

const get = "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"

// recorded returns the lines of a recording that contain the text.
func recorded(r *tape.Recording, text string) (lines []string) {
	for _, l := range r.Lines {
		if s := printed(l, true); strings.Contains(s, text) {
			lines = append(lines, s)
		}
	}
	return lines
}

// Nothing is lost without a message: it is recorded, or reported as not understood, with
// its own exit code.
func TestNothingIsLostWithoutAMessage(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	eio3 := `HTTP/1.1 200 OK` + "\r\nContent-Length: 24\r\n\r\n" + `21:0{"sid":"0123456789"}`
	jsonp := `HTTP/1.1 200 OK` + "\r\nContent-Length: 38\r\n\r\n" + `___eio[0]("0{\"sid\":\"0123456789\"}");  `
	tests := []struct {
		name    string
		answers []string
		ask     []string
		came    string // the last bytes that the client receives
		want    string // in a line
		code    int
	}{
		{"what_follows_a_204_with_an_empty_chunked_body",
			[]string{"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ok},
			[]string{fmt.Sprintf(get, "first"), fmt.Sprintf(get, "second")}, "ok", "GET /second ← 200", exitSame},
		{"what_follows_a_304_with_an_empty_chunked_body",
			[]string{"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ok},
			[]string{fmt.Sprintf(get, "first"), fmt.Sprintf(get, "second")}, "ok", "GET /second ← 200", exitSame},
		{"what_follows_a_body_after_HEAD",
			[]string{ok, ok},
			[]string{"HEAD /first HTTP/1.1\r\nHost: x\r\n\r\n", fmt.Sprintf(get, "second")}, "okHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "GET /second ← 200", exitSame},
		{"a_body_that_is_not_UTF-8",
			[]string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe"},
			[]string{fmt.Sprintf(get, "image")}, "\xff\xfe", `"//4=" (Base64)`, exitSame},
		{"a_request's_body_that_is_not_UTF-8",
			[]string{ok},
			[]string{"POST /image HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\xff\xfe"}, "ok", `"\xff\xfe"`, exitSame},
		{"an_id_in_an_app's_own_query",
			[]string{ok}, []string{fmt.Sprintf(get, "item?sid=42")}, "ok", "GET /item?sid=42 ←", exitSame},
		{"an_answer_that_never_ends",
			[]string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n"},
			[]string{fmt.Sprintf(get, "events")}, "data: 1", `GET /events ← 200  "data: 1" …`, exitSame},
		{"Engine.IO_3",
			[]string{eio3}, []string{fmt.Sprintf(get, "socket.io/?EIO=3&transport=polling")}, "}", "not understood: a session of Engine.IO 3", exitInPart},
		{"JSONP",
			[]string{jsonp}, []string{fmt.Sprintf(get, "socket.io/?EIO=4&transport=polling&j=0")}, ");", "not understood: a session by JSONP", exitInPart},
		{"a_session_opened_before_the_recording",
			[]string{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n6"}, []string{fmt.Sprintf(get, "socket.io/?EIO=4&transport=polling&sid=0123456789")}, "6",
			"not understood: a session that was opened before the recording began", exitInPart},
		{"noise_from_a_client",
			[]string{ok}, []string{fmt.Sprintf(get, "first"), "\x00\x01\x02 noise\r\n\r\n"}, "ok", "not understood: connection 1, from byte 32 of what the client sent", exitInPart},
		{"an_upgrade_to_something_else",
			[]string{"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"},
			[]string{"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"}, "h2c", `not understood: connection 1, after its upgrade to "h2c"`, exitInPart},
		{"an_invalid_WebSocket_frame",
			[]string{"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff!"},
			[]string{"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"}, "!", `of the WebSocket's frames from the server`, exitInPart},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startRecorder(t, "-target", scripted(t, tt.answers...))
			ask(t, s.URL, tt.came, tt.ask...)
			r := s.end()
			if len(recorded(r, tt.want)) != 1 || s.code != tt.code {
				t.Errorf("exit code %d, want %d; %q is not in:\n%s", s.code, tt.code, tt.want, strings.Join(recorded(r, ""), "\n"))
			}
		})
	}
}

// A WebSocket that is not Socket.IO is recorded, and replayed.
func TestOtherWebSocketsAreRecordedAndReplayed(t *testing.T) {
	t.Parallel()
	answer := "you said "
	upgrader := websocket.Upgrader{Subprotocols: []string{"chat"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		for {
			kind, data, err := ws.ReadMessage()
			if err != nil {
				return
			}
			_ = ws.WriteMessage(kind, append([]byte(answer), data...))
		}
	}))
	defer server.Close()
	s := startRecorder(t, "-target", server.URL)
	dialer := websocket.Dialer{Subprotocols: []string{"chat"}}
	ws, _, err := dialer.Dial(strings.Replace(s.URL, "http", "ws", 1)+"/ws?x=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []int{websocket.TextMessage, websocket.BinaryMessage} {
		_ = ws.WriteMessage(kind, []byte("\x01hello"))
		if _, data, err := ws.ReadMessage(); err != nil || string(data) != answer+"\x01hello" {
			t.Fatalf("%q %v", data, err)
		}
	}
	ws.Close()
	r := s.end()
	if n := r.Count(); n.Packets != 4 || n.Sessions != 1 || s.code != exitSame {
		t.Fatalf("exit code %d, %s: %v", s.code, n, r.Lines)
	}
	if code, out := tool(t, "replay", "-target", server.URL, "-quiet", "100ms", s.out); code != exitSame {
		t.Errorf("played again: exit code %d, %s", code, out)
	}
	answer = "you wrote "
	if code, out := tool(t, "replay", "-target", server.URL, "-quiet", "100ms", "-patience", "1s", s.out); code != exitDifferent || !strings.Contains(out, "you wrote") {
		t.Errorf("answered otherwise: exit code %d, %s", code, out)
	}
}

// A -path without sessions is reported, and sessions at other paths are recorded.
func TestAWrongPathIsReported(t *testing.T) {
	t.Parallel()
	handshake := `HTTP/1.1 200 OK` + "\r\nContent-Length: 26\r\n\r\n" + `0{"sid":"0123456789abcde"}`
	s := startRecorder(t, "-target", scripted(t, handshake), "-path", "/elsewhere/")
	ask(t, s.URL, "}", fmt.Sprintf(get, "socket.io/?EIO=4&transport=polling"))
	r := s.end()
	if said := s.output.String(); r.Count().Sessions != 1 || s.code != exitInPart || !strings.Contains(said, "No session was opened at /elsewhere/") ||
		!strings.Contains(said, "Sessions were opened at /socket.io/") {
		t.Errorf("exit code %d, %s: %s", s.code, r.Count(), said)
	}
}

// Traffic is in the file after a second, even if the recorder is killed. An older
// recording with the same name is kept.
func TestARecordingSurvivesAKill(t *testing.T) {
	t.Parallel()
	url := scripted(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n")
	dir := t.TempDir()
	out := dir + "/session.jsonl"
	if err := os.WriteFile(out, []byte("an older one"), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := dir + "/siotape"
	if text, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	cmd := exec.CommandContext(t.Context(), binary, "record", "-target", url, "-listen", "127.0.0.1:0", "-out", out)
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(line[strings.LastIndex(line, "http://"):])
	conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, get, "first")
	buf := make([]byte, 4096)
	_, _ = conn.Read(buf)
	fmt.Fprintf(conn, get, "events")
	harness.WaitFor(t, "the traffic in "+out+tape.Partial, func() bool {
		r, err := tape.ReadFile(out + tape.Partial)
		return err == nil && len(recorded(r, "GET /first ← 200")) == 1 && len(recorded(r, `GET /events ← 200  "data: 1" …`)) == 1
	})
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if text, err := os.ReadFile(out); err != nil || string(text) != "an older one" {
		t.Errorf("the older recording is %q, %v", text, err)
	}
	var shown bytes.Buffer
	if code := run(t.Context(), []string{"show", out + tape.Partial}, &shown, &shown); code != exitInPart || !strings.Contains(shown.String(), "no end") {
		t.Errorf("exit code %d: %s", code, &shown)
	}
	// A file that ends within a line can be read too.
	text, err := os.ReadFile(out + tape.Partial)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := tape.Read(bytes.NewReader(text[:len(text)-5])); err != nil || len(r.Lines) == 0 {
		t.Errorf("cut off: %v, %v", r, err)
	}
	if info, err := os.Stat(out + tape.Partial); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v %v", info.Mode(), err)
	}
}

// A recording without lines, or with something that was not understood, is never reported
// as the same.
func TestWhatCannotBeComparedIsNotTheSame(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	tests := []struct {
		name, file, want string
		code             int
	}{
		{"no_lines", `{"recording":2,"name":"x"}` + "\n" + `{"end":{"sessions":0,"packets":0,"exchanges":0,"not_understood":0}}`, "has no lines", exitFailed},
		{"no_recording", `{"a":1}`, "recording version 0", exitFailed},
		{"something_not_understood", `{"recording":2,"name":"x"}` + "\n" + `{"at":0.1,"http":{"method":"GET","url":"/","status":404,"content_type":"text/plain; charset=utf-8","response":"404 page not found\n","response_headers":{"X-Content-Type-Options":"nosniff"}}}` + "\n" +
			`{"at":0.2,"not_understood":"noise"}` + "\n" + `{"end":{"sessions":0,"packets":0,"exchanges":1,"not_understood":1}}`, "not compared: line 3: noise", exitInPart},
		{"no_end", `{"recording":2,"name":"x"}` + "\n" + `{"at":0.1,"http":{"method":"GET","url":"/","status":404,"content_type":"text/plain; charset=utf-8","response":"404 page not found\n","response_headers":{"X-Content-Type-Options":"nosniff"}}}` + "\n",
			"the recording has no end", exitInPart},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := t.TempDir() + "/x.jsonl"
			if err := os.WriteFile(file, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out := tool(t, "replay", "-target", server.URL, "-quiet", "10ms", file)
			if code != tt.code || !strings.Contains(out, tt.want) {
				t.Errorf("exit code %d, want %d; %q is not in: %s", code, tt.code, tt.want, out)
			}
		})
	}
}
