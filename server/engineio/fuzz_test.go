package engineio

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// Any request that does not open a WebSocket is answered with one of the statuses that
// python-engineio uses.
func FuzzRequest(f *testing.F) {
	for _, query := range []string{"", "EIO=4", "EIO=4&transport=polling", "EIO=3&transport=polling", "EIO=4&transport=websocket", "EIO=4&sid=x",
		"transport=x", "EIO=4&EIO=3", "EIO=%zz", ";&=&", "EIO=4&transport=polling&j=0", "EIO=4&transport=polling&b64=1&t=x", "EIO=4&j=x"} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "DELETE"} {
			f.Add(method, query, "", "")
		}
	}
	f.Add("POST", "EIO=4&transport=polling", "http://localhost", "4\x1e4")
	f.Fuzz(func(t *testing.T, method, query, origin, body string) {
		s := New(func(s *Session) Handler { return sink{} }, Options{})
		defer s.Close()
		r := httptest.NewRequest("GET", "/socket.io/", strings.NewReader(body))
		r.Method, r.URL = method, &url.URL{Path: "/socket.io/", RawQuery: query}
		if origin != "" {
			r.Header["Origin"] = []string{origin}
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if !slices.Contains([]int{200, 400, 405}, w.Code) {
			t.Errorf("%q %q from %q: %d %q", method, query, origin, w.Code, w.Body)
		}
		opened := strings.Contains(w.Body.String(), "pingInterval")
		if opened != (s.Sessions() > 0) {
			t.Errorf("%q %q: answered with %q, and there are %d sessions", method, query, w.Body, s.Sessions())
		}
	})
}

// sink is a Handler that does nothing.
type sink struct{}

func (sink) Message([]byte, bool) {}
func (sink) Heartbeat()           {}
func (sink) Close(string)         {}

// Any posted body is answered, the session stays open or ends, and the bytes counted as
// being received are released.
func FuzzPost(f *testing.F) {
	for _, body := range []string{"", "4", "1", "2", "3", "4a\x1e4b", "b", "bAA", "bA", "4\x1e1\x1e4", "d=4", "d=%", "\xff", "9", "5", "\x1e"} {
		f.Add(body, false)
		f.Add(body, true)
	}
	f.Fuzz(func(t *testing.T, body string, chunked bool) {
		s := New(func(s *Session) Handler { return sink{} }, Options{MaxPackets: 16})
		defer s.Close()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/?EIO=4", nil))
		_, sid, _ := strings.Cut(w.Body.String(), `"sid":"`)
		r := httptest.NewRequest("POST", "/?EIO=4&sid="+sid[:20], strings.NewReader(body))
		if chunked {
			r.ContentLength = -1
		}
		w = httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
			t.Errorf("%q is answered %d %q", body, w.Code, w.Body)
		}
		if (w.Code == http.StatusBadRequest) && s.Sessions() != 0 {
			t.Errorf("%q is answered %d, and the session is still open", body, w.Code)
		}
		if receiving, _ := s.Usage(); receiving != 0 {
			t.Errorf("%q: %d bytes are being received afterwards", body, receiving)
		}
	})
}

// reading returns a session and a frameReader of data, which arrives in pieces of that
// size.
func reading(data []byte, size int) (*Session, *frameReader) {
	server := &Server{options: Options{MaxPayload: 100_000, OnLimit: func(Limit) {}}, receiving: newBudget(1<<20, 0)}
	theirs, ours := net.Pipe()
	go func() {
		defer theirs.Close()
		for piece := range slices.Chunk(data, size) {
			if _, err := theirs.Write(piece); err != nil {
				return
			}
		}
	}()
	return &Session{server: server}, &frameReader{conn: ours}
}

// Any bytes are read as messages or end the connection, and no memory stays counted.
func FuzzFrames(f *testing.F) {
	f.Add(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte("4hello")))), uint8(1))
	f.Add(ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame([]byte("x")))), uint8(3))
	f.Add([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 0, 0, 0, 1, 2, 3}, uint8(200))
	f.Add([]byte{0x01, 0x81, 0, 0, 0, 0, 'a', 0x89, 0x80, 0, 0, 0, 0, 0x80, 0x81, 0, 0, 0, 0, 'b'}, uint8(7))
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		s, in := reading(data, int(size)+1)
		defer in.conn.Close()
		total := 0
		for {
			_, message, err := in.next(s)
			if err != nil {
				break
			}
			total += len(message)
		}
		if total > len(data) {
			t.Errorf("%d bytes made messages of %d", len(data), total)
		}
		in.release(s)
		if used := s.server.receiving.inUse(); used != 0 {
			t.Errorf("%d bytes are counted afterwards", used)
		}
	})
}

// A message arrives as it was sent, in however many frames and pieces, with control
// frames between them.
func FuzzMessages(f *testing.F) {
	f.Add([]byte("4hello"), uint16(2), uint16(3), uint32(0x01020304), true)
	f.Add(bytes.Repeat([]byte("x"), 10_000), uint16(4096), uint16(999), uint32(0), false)
	f.Fuzz(func(t *testing.T, data []byte, frame, size uint16, mask uint32, pings bool) {
		if len(data) > 9_000 || size < 32 && len(data) > 500 { // slow, and covers nothing that shorter data does not
			return
		}
		var wire []byte
		key := binary.BigEndian.AppendUint32(nil, mask)
		add := func(f ws.Frame) {
			wire = append(wire, ws.MustCompileFrame(ws.MaskFrameWith(f, [4]byte(key)))...)
		}
		parts := slices.Collect(slices.Chunk(slices.Clone(data), int(frame)+1))
		if len(parts) == 0 {
			parts = [][]byte{nil}
		}
		for i, part := range parts {
			op := ws.OpContinuation
			if i == 0 {
				op = ws.OpBinary
			}
			add(ws.NewFrame(op, i == len(parts)-1, part))
			if pings {
				add(ws.NewPingFrame([]byte("ping")))
			}
		}
		s, in := reading(wire, int(size)+1)
		defer in.conn.Close()
		var got []byte
		seen, pinged := 0, 0
		for {
			op, message, err := in.next(s)
			if err != nil {
				break
			}
			if op == ws.OpPing {
				pinged++
				if string(message) != "ping" {
					t.Errorf("a ping says %q", message)
				}
				continue
			}
			seen++
			got = bytes.Clone(message)
		}
		if seen != 1 || !bytes.Equal(got, data) {
			t.Errorf("%d messages came, of %d bytes, want one of %d", seen, len(got), len(data))
		}
		if pings && pinged != len(parts) {
			t.Errorf("%d pings came, want %d", pinged, len(parts))
		}
	})
}
