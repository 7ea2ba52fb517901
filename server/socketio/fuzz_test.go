package socketio

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zishang520/engine.io/v2/engine"
	"github.com/zishang520/engine.io/v2/events"
	"github.com/zishang520/engine.io/v2/types"
)

// A packet that is taken is the same when it is put together again.
func FuzzParsePacket(f *testing.F) {
	for _, text := range []string{"", "0", "40", `2["number",{"client_id":"client1","number":1}]`, `2007["number",1]`,
		`51-["number",{"_placeholder":true,"num":0}]`, "2/chat,1[]", "0/chat?a=b,{}", "6", "5", "7", "2" + strings.Repeat("9", 101) + "[]", `2["`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePacket(text)
		if err != nil {
			return
		}
		again := string(p.kind)
		if p.kind == kindBinaryEvent || p.kind == kindBinaryAck {
			again += strconv.Itoa(p.attachments) + "-"
		}
		if p.nsp != "/" {
			again += p.nsp + ","
		}
		q, err := parsePacket(again + p.id + p.data)
		if err != nil || p != q {
			t.Errorf("%q is %+v; put together again it is %+v, %v", text, p, q, err)
		}
		if p.data != "" && !json.Valid([]byte(p.data)) {
			t.Errorf("%q: its payload %q is not JSON", text, p.data)
		}
		p.event()
	})
}

// witness is a Handler that notes what it is told.
type witness struct{ calls []string }

func (w *witness) Connect(*Session)      { w.calls = append(w.calls, "connect") }
func (w *witness) Event(*Session, Event) { w.calls = append(w.calls, "event") }
func (w *witness) Heartbeat(*Session)    {}
func (w *witness) Disconnect(*Session)   { w.calls = append(w.calls, "disconnect") }

// nobody is a Handler that does nothing.
type nobody struct{}

func (nobody) Connect(*Session)      {}
func (nobody) Event(*Session, Event) {}
func (nobody) Heartbeat(*Session)    {}
func (nobody) Disconnect(*Session)   {}

// failOnError is a log handler that fails the test on an error, which is how
// the decoder tells of a panic that it has caught.
type failOnError struct{ t *testing.T }

func (h failOnError) Enabled(context.Context, slog.Level) bool { return true }
func (h failOnError) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		h.t.Errorf("logged as an error: %s", r.Message)
	}
	return nil
}
func (h failOnError) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h failOnError) WithGroup(string) slog.Handler      { return h }

// Whatever a session sends, nothing breaks, and a number that comes behind it
// is heard, unless the session has left. Messages are parted by U+001E, and
// those that begin with "b" are binary.
func FuzzDecoder(f *testing.F) {
	const last = `2["number",{"client_id":"client1","number":1}]`
	for _, text := range []string{"", "1", "0", last, "52-" + last[1:] + "\x1eb\x1eb", "51-" + last[1:] + "\x1e2", "b", "50-" + last[1:],
		"46", "451-[]", "\x1e\x1e", "1\x1e0\x1e1", `2["number"]`, `2["other"]`, `2[]`, "2/x,1[]", "6" + last[1:]} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		heard := new(witness)
		d := &decoder{
			EventEmitter: events.New(),
			server:       &Server{handler: heard, log: slog.New(failOnError{t})},
			session:      &Session{ID: "s", joined: make(chan struct{})},
		}
		for message := range strings.SplitSeq(text, "\x1e") {
			var data any = types.NewStringBufferString(message)
			if strings.HasPrefix(message, "b") {
				data = types.NewBytesBufferString(message)
			}
			if err := d.Add(data); err != nil {
				t.Fatalf("%q: %v; the library would close the connection", message, err)
			}
		}
		left := slices.Contains(heard.calls, "disconnect")
		if left != (d.session == nil) {
			t.Errorf("the handler has heard %v, and the session is %v", heard.calls, d.session)
		}
		before := len(heard.calls)
		d.Add(types.NewStringBufferString(last))
		if spoke := len(heard.calls) > before; spoke == left {
			t.Errorf("the session has left is %v, and its next number was heard is %v", left, spoke)
		}
	})
}

// A request that opens no WebSocket is answered, whatever it is, and with one of
// the statuses that the original has.
func FuzzRequest(f *testing.F) {
	for _, query := range []string{"", "EIO=4", "EIO=4&transport=polling", "EIO=3&transport=polling", "EIO=4&transport=websocket", "EIO=4&sid=x",
		"transport=x", "EIO=4&EIO=3", "EIO=%zz", ";&=&", "EIO=4&transport=polling&j=0", "EIO=4&transport=polling&b64=1&t=x"} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "DELETE"} {
			f.Add(method, query, "", "")
		}
	}
	f.Add("POST", "EIO=4&transport=polling", "http://localhost", "4\x1e4")
	s := New(nobody{}, Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	f.Fuzz(func(t *testing.T, method, query, origin, body string) {
		r := httptest.NewRequest("GET", "/socket.io/", strings.NewReader(body))
		r.Method, r.URL = method, &url.URL{Path: "/socket.io/", RawQuery: query}
		if origin != "" {
			r.Header["Origin"] = []string{origin}
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if !slices.Contains([]int{200, 400, 405, 413}, w.Code) {
			t.Errorf("%q %q from %q: %d %q", method, query, origin, w.Code, w.Body)
		}
		if opened := strings.Contains(w.Body.String(), "pingInterval"); opened != (s.Sessions() > 0) {
			t.Errorf("%q %q: answered with %q, and there are %d sessions", method, query, w.Body, s.Sessions())
		}
		s.io.Engine().Clients().Range(func(_ string, conn engine.Socket) bool {
			conn.Close(true)
			return true
		})
		for s.Sessions() > 0 { // the library forgets them in goroutines of its own
			runtime.Gosched()
		}
	})
}
