package socketio

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"counting/server/engineio"
)

// A packet that parses is unchanged when it is encoded and parsed again.
func FuzzParsePacket(f *testing.F) {
	for _, text := range []string{"", "0", "40", `2["number",{"client_id":"client1","number":1}]`, `2007["number",1]`,
		`51-["number",{"_placeholder":true,"num":0}]`, "2/chat,1[]", "0/chat?a=b,{}", "6", "5", "7", "2" + strings.Repeat("9", 101) + "[]", `2["`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePacket([]byte(text))
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
		q, err := parsePacket([]byte(again + p.id + p.data))
		if err != nil || p.kind != q.kind || p.nsp != q.nsp || p.id != q.id || p.data != q.data || p.attachments != q.attachments {
			t.Errorf("%q is %+v; put together again it is %+v, %v", text, p, q, err)
		}
		if p.data != "" && !json.Valid([]byte(p.data)) {
			t.Errorf("%q: its payload %q is not JSON", text, p.data)
		}
		if _, err := parse([]byte(text)); err != nil && strings.Contains(err.Error(), "panic") {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// witness is a Handler that admits every session and records its events.
type witness struct{ events, disconnects int }

func (w *witness) Connect(s *Session)                   { s.Admit() }
func (w *witness) Event(*Session, string, Args, string) { w.events++ }
func (w *witness) Heartbeat(*Session)                   {}
func (w *witness) Disconnect(*Session)                  { w.disconnects++ }
func (w *witness) heard(t testing.TB, s *Server, url string, body string) {
	r := httptest.NewRequest(http.MethodPost, url, strings.NewReader(body))
	s.ServeHTTP(httptest.NewRecorder(), r)
}

// After any message of a session, a following event is handled, unless the session
// has left.
func FuzzConnection(f *testing.F) {
	const last = `2["number",{"client_id":"client1","number":1}]`
	for _, text := range []string{"", "1", "0", last, "52-" + last[1:] + "\x1eb\x1eb", "51-" + last[1:] + "\x1e2", "b", "50-" + last[1:],
		"46", "451-[]", "\x1e\x1e", "1\x1e0\x1e1", `2["number"]`, `2["other"]`, `2[]`, "2/x,1[]", "6" + last[1:]} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w := new(witness)
		s := New(map[string]Handler{"/": w}, engineio.Options{Log: slog.New(slog.DiscardHandler)})
		defer s.Close()
		recorder := httptest.NewRecorder()
		s.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/?EIO=4", nil))
		_, sid, _ := strings.Cut(recorder.Body.String(), `"sid":"`)
		url := "/?EIO=4&sid=" + sid[:20]
		w.heard(t, s, url, "40")
		for message := range strings.SplitSeq(text, "\x1e") {
			if !strings.HasPrefix(message, "b") {
				message = "4" + message
			}
			w.heard(t, s, url, message)
		}
		disconnects := w.disconnects
		// A text packet ends the wait for attachments.
		before := w.events
		w.heard(t, s, url, "4"+last)
		if spoke := w.events > before; spoke == (disconnects > 0) && !strings.Contains(text, "0") {
			t.Errorf("the session has left is %v, and its next event was heard is %v", disconnects > 0, spoke)
		}
	})
}

// An ack id that was a part of its packet kept a megabyte for as long as it waited.
func TestWhatIsKeptOfAPacketDoesNotKeepThePacket(t *testing.T) {
	const packets = 64
	padded := `20["number",` + strings.Repeat(" ", 1<<20) + `1]`
	used := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := used()
	var ids []string
	for range packets {
		p, err := parse([]byte(padded))
		if err != nil || p.id != "0" {
			t.Fatalf("parsed %q, %v", p.id, err)
		}
		ids = append(ids, p.id)
	}
	if grown := used() - before; grown > packets<<20/4 {
		t.Errorf("%d ack ids keep %d bytes", len(ids), grown)
	}
	runtime.KeepAlive(ids)
}
