package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"counting/compat-tests/harness"
)

// It is recorded which side closes a session. This server does within a moment what the
// original does after a minute.
func TestClosesAreRecorded(t *testing.T) {
	t.Parallel()
	const handshake = `0{"sid":"abc","upgrades":[]}`
	upgrader := websocket.Upgrader{}
	polls, gone := make(chan string, 1), make(chan bool, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch {
		case q.Get("transport") == "websocket":
			ws, err := upgrader.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			_ = ws.WriteMessage(websocket.TextMessage, []byte(handshake))
			if q.Get("who") == "server" {
				ws.Close()
				return
			}
			_, _, _ = ws.ReadMessage()
		case q.Get("sid") == "":
			_, _ = io.WriteString(w, handshake)
		case r.Method == http.MethodPost:
			_, _ = io.WriteString(w, "ok")
		default:
			polls <- q.Get("who")
			if q.Get("who") == "server" {
				http.Error(w, `"gone"`, http.StatusBadRequest)
				return
			}
			<-r.Context().Done()
			gone <- true
			panic(http.ErrAbortHandler) // no response, which might come before the close
		}
	}))
	defer server.Close()

	dial := func(t *testing.T, s *recorder, who string) *websocket.Conn {
		t.Helper()
		return harness.DialSession(t, s.URL, "&who="+who)
	}
	get := func(s *recorder, ctx context.Context, query string) {
		_, _ = harness.Fetch(ctx, http.MethodGet, s.URL+"/socket.io/?EIO=4&transport=polling"+query, "")
	}
	tests := []struct {
		name string
		act  func(*testing.T, *recorder)
		want string
	}{
		{"the_server_closes_a_websocket", func(t *testing.T, s *recorder) {
			ws := dial(t, s, "server")
			for {
				if _, _, err := ws.ReadMessage(); err != nil {
					return
				}
			}
		}, "server closes websocket"},
		{"the_client_closes_a_websocket_by_a_close_frame", func(t *testing.T, s *recorder) {
			ws := dial(t, s, "client")
			_, _, _ = ws.ReadMessage()
			_ = ws.WriteControl(websocket.CloseMessage, nil, time.Now().Add(time.Second))
			_, _, _ = ws.ReadMessage()
		}, "client closes websocket"},
		{"the_client_drops_a_websocket", func(t *testing.T, s *recorder) {
			ws := dial(t, s, "client")
			_, _, _ = ws.ReadMessage()
			_ = afterCloseWrite(ws.NetConn())
			_, _, _ = ws.ReadMessage()
		}, "client closes websocket"},
		{"the_server_refuses_a_poll", func(t *testing.T, s *recorder) {
			get(s, t.Context(), "")
			get(s, t.Context(), "&sid=abc&who=server")
			<-polls
		}, "server closes polling"},
		{"the_client_cancels_a_poll", func(t *testing.T, s *recorder) {
			get(s, t.Context(), "")
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-polls; cancel() }()
			get(s, ctx, "&sid=abc&who=client")
			<-gone
		}, "client closes polling"},
		{"a_poll_that_is_cancelled_for_another_is_not_a_close", func(t *testing.T, s *recorder) {
			get(s, t.Context(), "")
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-polls; cancel() }()
			get(s, ctx, "&sid=abc&who=client")
			<-gone
			res, err := http.Post(s.URL+"/socket.io/?EIO=4&transport=polling&sid=abc", "text/plain", strings.NewReader("40"))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
		}, "client 40"},
	}
	for _, tt := range tests { // not parallel, as they share polls
		t.Run(tt.name, func(t *testing.T) {
			s := startRecorder(t, "-target", server.URL)
			tt.act(t, s)
			r := s.end()
			last := r.Lines[len(r.Lines)-1]
			if got := fmt.Sprintf("%s %s", last.From, last); got != tt.want {
				t.Errorf("the last line is %q, want %q, of %v", got, tt.want, r.Lines)
			}
		})
	}
}
