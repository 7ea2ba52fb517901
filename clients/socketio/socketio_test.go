package socketio_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"counting/clients/socketio"
	"counting/clients/socketio/socketiotest"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	const ask = "EIO=4&transport=websocket"
	tests := []struct{ name, in, want string }{
		{"the default", "http://localhost:5000", "ws://localhost:5000/socket.io/?" + ask},
		{"a slash is no path", "http://localhost:5000/", "ws://localhost:5000/socket.io/?" + ask},
		{"TLS", "https://example.com", "wss://example.com/socket.io/?" + ask},
		{"a WebSocket's", "ws://example.com", "ws://example.com/socket.io/?" + ask},
		{"IPv6", "http://[::1]:5000", "ws://[::1]:5000/socket.io/?" + ask},
		{"a query is kept", "http://h?token=a%26b", "ws://h/socket.io/?EIO=4&token=a%26b&transport=websocket"},
		{"a query cannot change the transport", "http://h?transport=polling&EIO=3", "ws://h/socket.io/?" + ask},
		{"a path is kept", "http://h/game/socket.io/", "ws://h/game/socket.io/?" + ask},
		{"a fragment is not", "http://h#top", "ws://h/socket.io/?" + ask},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u, err := socketio.ParseURL(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if u.String() != tt.want {
				t.Errorf("got %s, want %s", u, tt.want)
			}
		})
	}
	for _, bad := range []string{"", "localhost:5000", "localhost", "ftp://h", "http://", "http://:5000", "http://h:99999",
		"http://h:x", "http://user@h", "://", "http://h\n"} {
		if u, err := socketio.ParseURL(bad); err == nil {
			t.Errorf("%q: got %s, want an error", bad, u)
		}
	}
}

// dial opens a session that ends with the test.
func dial(t *testing.T, script func(int, *socketiotest.Session)) *socketio.Conn {
	t.Helper()
	conn, err := socketio.Dial(t.Context(), socketiotest.Serve(t, script))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func TestPacketsComeInOrder(t *testing.T) {
	t.Parallel()
	const n = 10_000
	conn := dial(t, func(_ int, s *socketiotest.Session) {
		s.Open(`42["n",0]`, `42["n",1]`)
		for i := 2; i < n; i++ {
			text, _ := json.Marshal([]any{"n", i})
			s.Send("42" + string(text))
		}
		s.Wait()
	})
	for want := range n {
		var got int
		if err := (<-conn.Packets()).Arg(0, &got); err != nil || got != want {
			t.Fatalf("got %d, %v, want %d", got, err, want)
		}
	}
}

func TestCloseSaysSo(t *testing.T) {
	t.Parallel()
	frames := make(chan []string, 1)
	server := socketiotest.Serve(t, func(_ int, s *socketiotest.Session) {
		s.Open()
		var got []string
		for frame, ok := s.Next(); ok; frame, ok = s.Next() {
			got = append(got, frame)
		}
		frames <- got
	})
	conn, err := socketio.Dial(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Emit(57, "number", struct{}{}); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if got, want := <-frames, []string{`4257["number",{}]`, "41"}; !slices.Equal(got, want) {
		t.Errorf("the server got %q, want %q", got, want)
	}
	if _, open := <-conn.Packets(); open {
		t.Error("there is a packet after Close")
	}
}

func TestHeartbeatIsAnswered(t *testing.T) {
	t.Parallel()
	answer := make(chan string, 1)
	dial(t, func(_ int, s *socketiotest.Session) {
		s.Open()
		s.Send("2")
		frame, _ := s.Next()
		answer <- frame
		s.Wait()
	})
	if got := <-answer; got != "3" {
		t.Errorf("the answer is %q", got)
	}
}

// It takes the ten seconds that a vanished server is given.
func TestVanishedServerIsNoticed(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	conn := dial(t, func(_ int, s *socketiotest.Session) {
		s.Open()
		<-ended // neither reads nor closes, so pings are not answered
	})
	defer close(ended)
	began := time.Now()
	select {
	case p, open := <-conn.Packets():
		if open {
			t.Errorf("got %+v", p)
		}
	case <-time.After(time.Minute):
		t.Fatal("it was not noticed")
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if err := conn.Err(); err == nil || !strings.Contains(err.Error(), "no sign of life") {
		t.Errorf("the error is %v", err)
	}
}

// A session outlives the context that it was dialed with, and a silent one the
// time that a vanished server is given.
func TestSilentServerIsKept(t *testing.T) {
	t.Parallel()
	proceed := make(chan struct{})
	server := socketiotest.Serve(t, func(_ int, s *socketiotest.Session) {
		s.Open()
		go func() {
			<-proceed
			s.Send(`42["late"]`)
		}()
		s.Wait() // answers pings
	})
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := socketio.Dial(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel()
	time.AfterFunc(12*time.Second, func() { close(proceed) })
	if p := <-conn.Packets(); p.Name != "late" {
		t.Errorf("got %+v, %v", p, conn.Err())
	}
}

func TestDialFails(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	tests := []struct{ name, url, want string }{
		{"where no WebSocket is", plain.URL, "the server answered 404 Not Found where a WebSocket was asked for"},
		{"where nothing listens", "http://" + closed.Addr().String(), "connection refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u, err := socketio.ParseURL(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = socketio.Dial(t.Context(), u); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
