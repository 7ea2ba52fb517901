package socketio_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"counting/clients/socketio"
	"counting/clients/socketio/socketiotest"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	const path = "/socket.io/?EIO=4"
	tests := []struct{ name, in, want string }{
		{"the default", "http://localhost:5000", "http://localhost:5000" + path},
		{"a slash", "http://localhost:5000/", "http://localhost:5000" + path},
		{"two slashes", "http://localhost:5000//", "http://localhost:5000" + path},
		{"TLS", "https://example.com", "https://example.com" + path},
		{"a WebSocket's", "ws://example.com", "http://example.com" + path},
		{"a WebSocket's over TLS", "wss://example.com", "https://example.com" + path},
		{"capitals", "HTTP://h", "http://h" + path},
		{"IPv6", "http://[::1]:5000", "http://[::1]:5000" + path},
		{"a query is kept", "http://h?token=a%26b", "http://h/socket.io/?EIO=4&token=a%26b"},
		{"a query cannot change the transport", "http://h?transport=polling&EIO=3", "http://h" + path},
		{"Socket.IO's path", "http://h/socket.io/", "http://h" + path},
		{"Socket.IO's path without its last slash", "http://h:1/socket.io", "http://h:1" + path},
		{"a prefix", "http://h/counting/", "http://h/counting" + path},
		{"a prefix without its last slash", "http://h/a/b", "http://h/a/b" + path},
		{"a prefix that ends like the path", "http://h/my-socket.io", "http://h/my-socket.io" + path},
		{"a prefix with the path", "http://h/game/socket.io/", "http://h/game" + path},
		{"a fragment is dropped", "http://h#top", "http://h" + path},
		{"white space around it", " \thttp://h:5000 \r\n", "http://h:5000" + path},
		{"a user", "http://me@h", "http://me@h" + path},
		{"a user with a password", "http://me:a%2Fb@h", "http://me:a%2Fb@h" + path},
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
	for _, bad := range []string{"", " ", "localhost:5000", "localhost", "ftp://h", "http://", "http://:5000", "http://h:99999",
		"http://h:x", "://", "http://h\nx", "http://a b"} {
		if u, err := socketio.ParseURL(bad); err == nil {
			t.Errorf("%q: got %s, want an error", bad, u)
		}
	}
}

// eachTransport runs check with the server for each transport.
func eachTransport(t *testing.T, check func(t *testing.T, serve func(testing.TB, func(int, *socketiotest.Session)) *url.URL)) {
	t.Parallel()
	for name, serve := range map[string]func(testing.TB, func(int, *socketiotest.Session)) *url.URL{
		"WebSocket": socketiotest.Serve, "polling": socketiotest.ServePolling,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, serve)
		})
	}
}

// dial opens a session that ends with the test.
func dial(t *testing.T, u *url.URL) *socketio.Conn {
	t.Helper()
	conn, err := socketio.Dial(t.Context(), u, socketio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func TestPacketsComeInOrder(t *testing.T) {
	eachTransport(t, func(t *testing.T, serve func(testing.TB, func(int, *socketiotest.Session)) *url.URL) {
		const n = 10_000
		conn := dial(t, serve(t, func(_ int, s *socketiotest.Session) {
			s.Open(`42["n",0]`, `42["n",1]`)
			for i := 2; i < n; i++ {
				text, _ := json.Marshal([]any{"n", i})
				s.Send("42" + string(text))
			}
			s.Wait()
		}))
		for want := range n {
			var got int
			if err := (<-conn.Packets()).Arg(0, &got); err != nil || got != want {
				t.Fatalf("got %d, %v, want %d", got, err, want)
			}
		}
	})
}

func TestCloseSaysSo(t *testing.T) {
	eachTransport(t, testCloseSaysSo)
}

func testCloseSaysSo(t *testing.T, serve func(testing.TB, func(int, *socketiotest.Session)) *url.URL) {
	frames := make(chan []string, 1)
	server := serve(t, func(_ int, s *socketiotest.Session) {
		s.Open()
		var got []string
		for frame, ok := s.Next(); ok; frame, ok = s.Next() {
			got = append(got, frame)
		}
		frames <- got
	})
	conn, err := socketio.Dial(t.Context(), server, socketio.Options{})
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
	eachTransport(t, func(t *testing.T, serve func(testing.TB, func(int, *socketiotest.Session)) *url.URL) {
		answer := make(chan string, 1)
		dial(t, serve(t, func(_ int, s *socketiotest.Session) {
			s.Open()
			s.Send("2")
			frame, _ := s.Next()
			answer <- frame
			s.Wait()
		}))
		if got := <-answer; got != "3" {
			t.Errorf("the answer is %q", got)
		}
	})
}

// It takes readTimeout, ten seconds.
func TestVanishedServerIsNoticed(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	conn := dial(t, socketiotest.Serve(t, func(_ int, s *socketiotest.Session) {
		s.Open()
		<-ended // neither reads nor closes, so pings are not answered
	}))
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
	if err := conn.Err(); err == nil || !strings.Contains(err.Error(), "nothing received from the server") {
		t.Errorf("the error is %v", err)
	}
}

// A session outlives the context of Dial, and an idle one readTimeout.
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
	conn, err := socketio.Dial(ctx, server, socketio.Options{})
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
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `"clients may not make it\n"`)
	}))
	t.Cleanup(refusing.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	tests := []struct{ name, url, want string }{
		{"where no WebSocket is", plain.URL, "the server answered 404 Not Found"},
		{"where there is a reason", refusing.URL, `the server answered 403 Forbidden: "clients may not make it\n"`},
		{"where nothing listens", "http://" + closed.Addr().String(), "connection refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u, err := socketio.ParseURL(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = socketio.Dial(t.Context(), u, socketio.Options{}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
