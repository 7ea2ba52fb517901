// Package socketiotest serves scripted Socket.IO sessions over WebSocket or
// polling, for tests of clients: it can be as rude to them as no real server is.
package socketiotest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"

	"counting/clients/socketio"
)

// Session is one client's connection, as its server sees it.
type Session struct {
	tb    testing.TB
	write func(frame string)
	read  func() (frame string, ok bool)
}

// Serve runs script for each WebSocket, with its number from 0 on, until the
// test ends. The connection is closed when its script returns. Polling is
// refused.
func Serve(tb testing.TB, script func(n int, s *Session)) *url.URL {
	var (
		sessions atomic.Int64
		open     sync.Map
		running  sync.WaitGroup
	)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Done()
		ws, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		open.Store(ws, nil)
		defer open.Delete(ws)
		defer ws.Close()
		script(int(sessions.Add(1)-1), &Session{tb: tb,
			write: func(frame string) { ws.WriteMessage(websocket.TextMessage, []byte(frame)) },
			read: func() (string, bool) {
				_, data, err := ws.ReadMessage()
				return string(data), err == nil
			}})
	}))
	tb.Cleanup(func() {
		open.Range(func(ws, _ any) bool {
			ws.(*websocket.Conn).Close()
			return true
		})
		server.Close()
		running.Wait()
	})
	return mustParse(tb, server.URL)
}

func mustParse(tb testing.TB, rawURL string) *url.URL {
	u, err := socketio.ParseURL(rawURL)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

// Open opens the Engine.IO session, reads the client's CONNECT and answers it,
// after the early frames.
func (s *Session) Open(early ...string) {
	s.Handshake()
	s.Send(early...)
	s.Send(`40{"sid":"y"}`)
}

// Handshake opens the Engine.IO session and reads the client's CONNECT.
func (s *Session) Handshake() {
	s.Send(`0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
	if frame, ok := s.Next(); ok && frame != "40" {
		s.tb.Errorf("the client sent %q instead of CONNECT", frame)
	}
}

// Send sends frames. That the client may be gone is no error.
func (s *Session) Send(frames ...string) {
	for _, frame := range frames {
		s.write(frame)
	}
}

// Next returns the client's next frame, and false when it is gone.
func (s *Session) Next() (frame string, ok bool) {
	return s.read()
}

// Number returns the next number that the client sends, and false when it
// leaves or is gone before that.
func (s *Session) Number() (n int64, ok bool) {
	frame, ok := s.Next()
	if !ok || frame == "41" {
		return 0, false
	}
	var seat string
	if _, err := fmt.Sscanf(frame, `42%d["number",{"client_id":%q,`, &n, &seat); err != nil {
		s.tb.Errorf("the client sent %q: %v", frame, err)
		return 0, false
	}
	if want := fmt.Sprintf(`42%d["number",{"client_id":"%s","number":%d}]`, n, seat, n); frame != want {
		s.tb.Errorf("the client sent %q instead of %q", frame, want)
	}
	return n, true
}

// Ack acknowledges a number.
func (s *Session) Ack(n int64) { s.Send(fmt.Sprintf("43%d[]", n)) }

// Wait returns when the client is gone. What it sends is not looked at.
func (s *Session) Wait() {
	for ok := true; ok; {
		_, ok = s.Next()
	}
}
