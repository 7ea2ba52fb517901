package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"counting/compat-tests/lockedbuffer"
)

// Idle connections used up all descriptors and locked out other clients.
func TestIdleConnectionsGiveWay(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"-max-connections", "-max-connections-per-address"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, flag, "20")
			a, b := joinTwo(t, s)
			addr := strings.TrimPrefix(s.url, "http://")
			for i := range 60 { // half of them have sent a request
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if i%2 == 0 {
					fmt.Fprint(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
					if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
						t.Fatalf("connection %d is answered %q, %v", i, line, err)
					}
				}
			}
			count(a, "client1", 1, 1)
			count(b, "client2", 2, 2)
			a.expect("431[]")
			b.expect("432[]")
			if status, _, _ := request(t, http.MethodGet, s.url+"/health", nil); status != http.StatusOK {
				t.Errorf("/health answers %d", status)
			}
		})
	}
}

// Where no connection is idle, a new one is refused.
func TestConnectionsThatAreInUseDoNotGiveWay(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-max-connections", "2")
	joinTwo(t, s)
	if _, err := http.Get(s.url + "/health"); err == nil {
		t.Error("a third connection is served")
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("secret-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, "-token-file", file, "-log-level", "debug")
	for _, tt := range []struct {
		query  string
		status int
	}{
		{"", 401}, {"&token=", 401}, {"&token=secret", 401}, {"&token=secret-1x", 401}, {"&token=secret-1", 200}, {"&token=x&token=secret-1", 401},
	} {
		status, text, header := request(t, http.MethodGet, s.url+"/socket.io/?EIO=4&transport=polling"+tt.query, nil)
		if status != tt.status {
			t.Errorf("%q is answered %d, want %d", tt.query, status, tt.status)
		}
		if status == 401 && (text != `"Unauthorized"` || header.Get("Content-Type") != "application/json") {
			t.Errorf("%q is answered %s %q", tt.query, header.Get("Content-Type"), text)
		}
		conn, response, err := websocket.DefaultDialer.Dial(s.wsURL()+tt.query, nil)
		if got := response.StatusCode; got != tt.status && !(err == nil && tt.status == 200) {
			t.Errorf("%q over WebSocket is answered %d", tt.query, got)
		}
		if err == nil {
			conn.Close()
		}
	}
	// A session that is open needs no token.
	p := openPollingAt(t, s.url+"/socket.io/?EIO=4&transport=polling&token=secret-1")
	p.url = strings.Replace(p.url, "&token=secret-1", "", 1)
	p.post(strings.NewReader("40"))
	p.expect(assigned1, joined)
	if strings.Contains(s.log.String(), "secret") {
		t.Errorf("the token is logged:\n%s", s.log)
	}
	for _, bad := range []string{"/nonexistent", t.TempDir(), os.DevNull} {
		if _, err := readToken(bad); err == nil {
			t.Errorf("the token file %s is taken", bad)
		}
	}
}

// A trusted proxy determines the addresses of sessions.
func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-trusted-proxies", "127.0.0.0/8", "-max-sessions-per-address", "1", "-log-format", "json")
	open := func(from string) (*websocket.Conn, int) {
		conn, response, err := websocket.DefaultDialer.Dial(s.wsURL(), http.Header{"X-Forwarded-For": {from}})
		if err != nil {
			return nil, response.StatusCode
		}
		t.Cleanup(func() { conn.Close() })
		return conn, 101
	}
	for _, from := range []string{"192.0.2.1", "192.0.2.2", "2001:db8::1"} {
		conn, status := open(from)
		if status != 101 {
			t.Fatalf("a session from %s is answered %d", from, status)
		}
		(&peer{t, conn}).send("40")
	}
	waitFor(t, "the log to name the clients", func() bool {
		log := s.log.String() // one that is not in the log has not joined, and is evicted
		return strings.Contains(log, `"address":"192.0.2.1"`) && strings.Contains(log, `"address":"192.0.2.2"`) && strings.Contains(log, `"address":"2001:db8::1"`)
	})
	if _, status := open("2001:db8::2"); status != 429 {
		t.Errorf("another session from the same /64 is answered %d", status)
	}
	if status, _, _ := request(t, http.MethodGet, startServer(t, "-trusted-proxies", "127.0.0.1").url+"/health", nil); status != 200 {
		t.Errorf("/health answers %d", status)
	}
}

func TestParseOrigins(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		list string
		want []string
		ok   bool
	}{
		{"*", nil, true},
		{"https://a.example", []string{"https://a.example"}, true},
		{"https://a.example/", []string{"https://a.example"}, true},
		{"HTTPS://A.example", []string{"https://a.example"}, true},
		{"https://a.example:443", []string{"https://a.example"}, true},
		{"http://a.example:80, https://b.example:8443", []string{"http://a.example", "https://b.example:8443"}, true},
		{"https://a.example, *", nil, true},
		{",", nil, false},
		{"", nil, false},
		{" ", nil, false},
		{"a.example", nil, false},
		{"https://", nil, false},
		{"https://a.example/path", nil, false},
		{"https://user@a.example", nil, false},
	} {
		got, err := parseOrigins(tt.list)
		if (err == nil) != tt.ok || !slices.Equal(got, tt.want) {
			t.Errorf("%q is read as %q, %v", tt.list, got, err)
		}
	}
}

// A proxy may add a second slash at the beginning of a path.
func TestPathsThatBeginWithSeveralSlashes(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for _, path := range []string{"//health", "//ready", "//socket.io/?EIO=4&transport=polling", "///health"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
		answer, _ := io.ReadAll(c)
		c.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
			t.Errorf("%s is answered %.100q", path, answer)
		}
	}
}

func TestHeartbeatFlag(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-heartbeat", "50ms/10s")
	p := dial(t, s)
	p.expect(`0{"sid":"`)
	p.expect("2")
	for _, bad := range []string{"", "25s", "25s/", "/20s", "0s/20s", "25/20", "-1s/20s"} {
		if _, err := parseConfig([]string{"-heartbeat", bad}, noEnv, new(lockedbuffer.Buffer)); err == nil {
			t.Errorf("-heartbeat %q is taken", bad)
		}
	}
}

// The process ends in time, even if nobody reads its stdout or a client does not read.
func TestAStopWaitsForNobody(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	p := dial(t, s)
	p.expect("0{")
	go func() {
		for p.conn.WriteMessage(websocket.TextMessage, []byte("40/nobody,")) == nil { // answered, and not read
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	began := time.Now()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

// Header lines of 4 bytes used 30 times as much memory: 1,200 connections that had each
// sent 12 kB of an incomplete header used 290 MB.
func TestAHeaderHasABoundOfLines(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	few, many := "", ""
	for i := range 1000 {
		line := fmt.Sprintf("%03d:\n", i)
		if many += line; i < 100 {
			few += line
		}
	}
	const get = "GET /health HTTP/1.1\nHost: x\n"
	post := "POST /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\nHost: x\nContent-Length: 4\n"
	for _, tt := range []struct {
		name     string
		requests []string
		served   int
	}{
		{"few", []string{get + few + "\n"}, 1},
		{"few, twice", []string{get + few + "\n", get + few + "\n"}, 2},
		{"many", []string{get + many}, 0},
		{"many in the second request", []string{get + "\n", get + many}, 1},
		{"many behind a body", []string{post + "\n4xxx" + get + many}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := s.dialTCP(t)
			in := bufio.NewReader(c)
			for i, request := range tt.requests {
				fmt.Fprint(c, request)
				response, err := http.ReadResponse(in, nil)
				if err == nil {
					io.Copy(io.Discard, response.Body)
				}
				if served := err == nil && response.StatusCode == http.StatusOK; served != (i < tt.served) {
					t.Fatalf("request %d is answered %v, %v", i+1, response, err)
				}
				if i >= tt.served {
					if _, err := io.Copy(io.Discard, in); errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error("the connection is not closed")
					}
				}
			}
		})
	}
}
