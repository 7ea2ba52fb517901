package capture

import (
	"bufio"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"counting/compat-tests/siotape/tape"
)

// testProxy returns a proxy that records into a file, and a function that reads the file
// after the recording.
func testProxy(t *testing.T) (*Proxy, func() *tape.Recording) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "test.jsonl")
	w, err := tape.Create(name, tape.Header{Version: tape.Version})
	if err != nil {
		t.Fatal(err)
	}
	p := NewProxy(Options{}, w)
	return p, func() *tape.Recording {
		t.Helper()
		if err := w.Finish(tape.End{Counts: p.Counts()}); err != nil {
			t.Fatal(err)
		}
		r, err := tape.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

const (
	askUpgrade = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	switching  = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	okAnswer   = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
)

// Errors in the traffic are reported, even if it is read after the end of the recording.
// What is only cut off by that end is not an error.
func TestErrorsAreReportedAfterTheEnd(t *testing.T) {
	t.Parallel()
	badFrame := "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff!"
	tests := []struct {
		name     string
		up, down string
		want     int
	}{
		{"an invalid frame of the server", askUpgrade, switching + badFrame, 1},
		{"an invalid frame of the client", askUpgrade + badFrame, switching, 1},
		{"a server's frame that is cut off", askUpgrade, switching + "\x81\x05he", 0},
		{"an invalid answer", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "SSH-2.0-OpenSSH\r\n\r\n", 1},
		{"an answer that is cut off", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", okAnswer[:len(okAnswer)-1], 0},
		{"an invalid request", "\x00\x01\x02 noise\r\n\r\n", "", 1},
		{"a request that is cut off", "GET / HTTP/1.1\r\n", "", 0},
		{"an invalid request body", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n", okAnswer, 1},
		{"a request's body that is cut off", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nbody", "", 0},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			p, recording := testProxy(t)
			c := &call{Proxy: p, number: 1, up: newStream(), down: newStream()}
			c.up.put(p.now(), []byte(tt.up))
			c.down.put(p.now(), []byte(tt.down))
			c.up.end(nil)
			c.down.end(nil)
			p.over = true
			c.read()
			if r := recording(); r.End.NotUnderstood != tt.want {
				t.Errorf("%d things were not understood, want %d: %v", r.End.NotUnderstood, tt.want, r.Lines)
			}
		})
	}
}

// A stalledConn does not return from a write that contains the text end until the gate is
// open, as on a busy machine.
type stalledConn struct {
	net.Conn
	end  string
	gate chan struct{}
}

func (c *stalledConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if strings.HasSuffix(string(b), c.end) {
		<-c.gate
	}
	return n, err
}

// A server may answer before the goroutine that forwards the client's close has put it
// into its stream. The client still closed first.
func TestAnAnswerIsNotRecordedBeforeItsRequest(t *testing.T) {
	t.Parallel()
	p, recording := testProxy(t)
	synctest.Test(t, func(t *testing.T) {
		client, down := net.Pipe()
		up, server := net.Pipe()
		bye := string(encode(1, true, false, []byte("41"))) + string(encode(8, true, false, nil))
		stalled := &stalledConn{up, bye, make(chan struct{})}
		c := p.begin(down, stalled)
		p.relays.Go(func() { p.relay(c, c.up, stalled, down, down) })
		p.relays.Go(func() { p.relay(c, c.down, down, stalled, stalled) })
		p.readers.Go(c.read)

		in := bufio.NewReader(server)
		go func() { _, _ = client.Write([]byte(askUpgrade)) }()
		if _, err := http.ReadRequest(in); err != nil {
			t.Fatal(err)
		}
		answer := switching + string(encode(1, true, false, []byte(`0{"sid":"abc"}`)))
		go func() { _, _ = server.Write([]byte(answer)) }()
		if _, err := client.Read(make([]byte, 1024)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = client.Write([]byte(bye)) }()
		if _, err := in.Read(make([]byte, 1024)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = server.Write(encode(8, true, false, nil)); server.Close() }()
		if _, err := client.Read(make([]byte, 1024)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // for the server's side to be read
		close(stalled.gate)
		p.end()
	})
	var lines []string
	for _, l := range recording().Lines {
		lines = append(lines, l.From+" "+l.String())
	}
	want := []string{"client opens websocket", `server 0{"sid":"abc"}`, "client 41", "client closes websocket"}
	if !slices.Equal(lines, want) {
		t.Errorf("recorded %q, want %q", lines, want)
	}
}

// The server's side of a WebSocket may be read first although the client has hung up
// before it. The client still closed first.
func TestTheFirstToHangUpIsRecorded(t *testing.T) {
	t.Parallel()
	p, recording := testProxy(t)
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		c := p.begin(client, server)
		req, err := http.NewRequest("GET", "/socket.io/?EIO=4&transport=websocket", nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &socket{call: c, x: &exchange{call: c, req: req, query: req.URL.Query()}}
		s.open(p.asm.begin("", req.URL.Path), false)
		first, second := p.now(), p.now()
		c.up.end(&first)
		closed := make(chan struct{})
		go func() {
			s.close(tape.Server, second, c.up)
			close(closed)
		}()
		time.Sleep(time.Second) // the server's side is read
		s.close(tape.Client, first, c.down)
		<-closed
	})
	var lines []string
	for _, l := range recording().Lines {
		lines = append(lines, l.From+" "+l.String())
	}
	if want := []string{"client opens websocket", "client closes websocket"}; !slices.Equal(lines, want) {
		t.Errorf("recorded %q, want %q", lines, want)
	}
}
