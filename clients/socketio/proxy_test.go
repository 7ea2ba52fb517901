package socketio_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"counting/clients/socketio"
	"counting/clients/socketio/socketiotest"
)

// serve serves handler and returns the URL for clients, with that suffix.
func serve(t *testing.T, end string, handler http.HandlerFunc) *url.URL {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections() // those that nobody answers too
		server.Close()
	})
	u, err := socketio.ParseURL(server.URL + end)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// reverse returns a reverse proxy to the host of u, with what else it does to a
// request.
func reverse(u *url.URL, edit func(*http.Request)) http.HandlerFunc {
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: u.Host})
		edit(r.Out)
	}}
	return proxy.ServeHTTP
}

// greet is a session that sends hello, and echoes what it receives.
func greet(_ int, s *socketiotest.Session) {
	s.Open(`42["hello"]`)
	for frame, ok := s.Next(); ok && frame != "41"; frame, ok = s.Next() {
		s.Send(`42["got",` + strings.TrimLeft(frame, "0123456789") + `]`)
	}
}

func TestSessionsThroughProxies(t *testing.T) {
	t.Parallel()
	none := func(*http.Request) {}
	tests := []struct {
		name  string
		serve func(t *testing.T) *url.URL
	}{
		{"that pass WebSockets on", func(t *testing.T) *url.URL {
			return serve(t, "", reverse(socketiotest.Serve(t, greet), none))
		}},
		{"that do not", func(t *testing.T) *url.URL { // nginx with proxy_pass alone
			return serve(t, "", reverse(socketiotest.ServePolling(t, greet), func(r *http.Request) {
				r.Header.Del("Upgrade")
				r.Header.Del("Connection")
			}))
		}},
		{"that refuse them", func(t *testing.T) *url.URL {
			polling := reverse(socketiotest.ServePolling(t, greet), none)
			return serve(t, "", func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Upgrade") != "" {
					http.Error(w, "no upgrades", http.StatusForbidden)
					return
				}
				polling(w, r)
			})
		}},
		{"that cut them", func(t *testing.T) *url.URL {
			polling := reverse(socketiotest.ServePolling(t, greet), none)
			return serve(t, "", func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Upgrade") != "" {
					panic(http.ErrAbortHandler)
				}
				polling(w, r)
			})
		}},
		{"that answer them with nothing", func(t *testing.T) *url.URL {
			polling := reverse(socketiotest.ServePolling(t, greet), none)
			return serve(t, "", func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Upgrade") != "" {
					<-r.Context().Done()
					return
				}
				polling(w, r)
			})
		}},
		{"that accept them and carry nothing", func(t *testing.T) *url.URL {
			polling := reverse(socketiotest.ServePolling(t, greet), none)
			silent := reverse(socketiotest.Serve(t, func(_ int, s *socketiotest.Session) { s.Wait() }), none)
			return serve(t, "", func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Upgrade") != "" {
					silent(w, r)
					return
				}
				polling(w, r)
			})
		}},
		{"that redirect, over WebSocket", func(t *testing.T) *url.URL { return redirecting(t, socketiotest.Serve(t, greet)) }},
		{"that redirect, by polling", func(t *testing.T) *url.URL { return redirecting(t, socketiotest.ServePolling(t, greet)) }},
		{"that ask who it is, over WebSocket", func(t *testing.T) *url.URL { return guarded(t, socketiotest.Serve(t, greet)) }},
		{"that ask who it is, by polling", func(t *testing.T) *url.URL { return guarded(t, socketiotest.ServePolling(t, greet)) }},
		{"under a prefix", func(t *testing.T) *url.URL {
			proxy := reverse(socketiotest.Serve(t, greet), none)
			return serve(t, "/counting", http.StripPrefix("/counting", proxy).ServeHTTP)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn := dialPatiently(t, tt.serve(t))
			if p := <-conn.Packets(); p.Name != "hello" {
				t.Fatalf("got %+v, %v", p, conn.Err())
			}
			for i := range int64(20) {
				if err := conn.Emit(i, "number", i); err != nil {
					t.Fatal(err)
				}
				var echo [2]any
				if p := <-conn.Packets(); p.Name != "got" || p.Arg(0, &echo) != nil || echo != [2]any{"number", float64(i)} {
					t.Fatalf("got %+v, %v", p, conn.Err())
				}
			}
		})
	}
}

// redirecting returns a URL all of whose requests are redirected to that server.
func redirecting(t *testing.T, to *url.URL) *url.URL {
	return serve(t, "", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+to.Host+r.URL.RequestURI(), http.StatusPermanentRedirect)
	})
}

// guarded returns the URL of a proxy that admits one user, with a password.
func guarded(t *testing.T, to *url.URL) *url.URL {
	proxy := reverse(to, func(*http.Request) {})
	u := serve(t, "", func(w http.ResponseWriter, r *http.Request) {
		if name, password, _ := r.BasicAuth(); name != "me" || password != "a/b" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		proxy(w, r)
	})
	u.User = url.UserPassword("me", "a/b")
	return u
}

func TestPasswordsStayOnTheirHost(t *testing.T) {
	t.Parallel()
	auth := make(chan string, 10)
	other := serve(t, "", func(w http.ResponseWriter, r *http.Request) {
		auth <- r.Header.Get("Authorization")
		http.NotFound(w, r)
	})
	// "localhost" is not the host 127.0.0.1.
	u := serve(t, "", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, fmt.Sprintf("http://localhost:%s%s", other.Port(), r.URL.RequestURI()), http.StatusPermanentRedirect)
	})
	u.User = url.UserPassword("me", "secret")
	if _, err := socketio.Dial(t.Context(), u, socketio.Options{}); err == nil {
		t.Error("no error")
	}
	for range 2 { // over WebSocket, by polling
		if got := <-auth; got != "" {
			t.Errorf("the other host got %q", got)
		}
	}
}

func TestErrorsSayWhoRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"a proxy", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Via", "1.1 gate (squid/5.7)")
			http.Error(w, "", http.StatusForbidden)
		}, "a proxy (1.1 gate (squid/5.7)) answered 403 Forbidden"},
		{"a program", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Server", "nginx/1.22.1")
			http.Error(w, "", http.StatusBadGateway)
		}, "the server answered 502 Bad Gateway (nginx/1.22.1)"},
		{"a redirect to itself", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.RequestURI(), http.StatusFound)
		}, "stopped after 10 redirects"},
		{"a redirect to elsewhere", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "ftp://h/")
			w.WriteHeader(http.StatusFound)
		}, `unsupported protocol scheme "ftp"`},
		{"what speaks no Engine.IO", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }, "the server does not speak Engine.IO 4"},
		{"an answer without end", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, "longer than 1048576 bytes"},
		{"a header without end", func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\n")
			for {
				if _, err := fmt.Fprintf(conn, "X: %s\r\n", strings.Repeat("x", 1000)); err != nil {
					return
				}
			}
		}, "server response headers exceeded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := socketio.Dial(t.Context(), serve(t, "", tt.handler), socketio.Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// A session that polls ends with the server's.
func TestPollingSessionEnds(t *testing.T) {
	t.Parallel()
	conn := dial(t, socketiotest.ServePolling(t, func(_ int, s *socketiotest.Session) {
		s.Open()
		s.Next()
	}))
	if err := conn.Emit(1, "number", 1); err != nil {
		t.Fatal(err)
	}
	select {
	case p, open := <-conn.Packets():
		if open {
			t.Errorf("got %+v", p)
		}
	case <-time.After(time.Minute):
		t.Fatal("it has not ended")
	}
	if err := conn.Err(); err == nil || !strings.Contains(err.Error(), "400 Bad Request") {
		t.Errorf("the error is %v", err)
	}
}

// A listener that accepts connections and does not answer delays Dial by a bounded time.
func TestSilentListenerIsGivenUp(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	u, err := socketio.ParseURL("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := socketio.Dial(t.Context(), u, socketio.Options{Failed: 2}); err == nil || !strings.Contains(err.Error(), "no answer from the server for 5s") {
		t.Errorf("got %v", err)
	}
}

// dialPatiently tries three times: a WebSocket that breaks and is not refused is replaced
// by polling at the third attempt.
func dialPatiently(t *testing.T, u *url.URL) *socketio.Conn {
	t.Helper()
	for failed := 0; ; failed++ {
		conn, err := socketio.Dial(t.Context(), u, socketio.Options{Failed: failed})
		if err == nil {
			t.Cleanup(conn.Close)
			return conn
		}
		if failed == 2 {
			t.Fatal(err)
		}
	}
}
