package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"counting/compat-tests/results"

	"github.com/gorilla/websocket"
)

// startPair starts an owner and a server that stands by for it.
func startPair(t testing.TB, args ...string) (owner, standby *testServer) {
	t.Helper()
	owner = startServer(t, args...)
	standby = startServerIn(t, owner.data, args...)
	waitForOwner(t, standby)
	return owner, standby
}

// waitForOwner waits until the server can forward to the owner, or is it.
func waitForOwner(t testing.TB, s *testServer) {
	t.Helper()
	waitFor(t, "the server to be ready", func() bool {
		status, _, _ := request(t, http.MethodGet, s.url+"/ready", nil)
		return status == http.StatusOK
	})
}

// Over any transport, a client of a standby plays with the clients of the owner.
func TestAStandbyForwards(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"", "-faithful"} {
		t.Run("mode"+mode, func(t *testing.T) {
			t.Parallel()
			var args []string
			if mode != "" {
				args = append(args, mode)
			}
			owner, standby := startPair(t, args...)
			if log := standby.log.String(); !strings.Contains(log, "Standing by for ") || !strings.Contains(log, "requests are forwarded to it") {
				t.Errorf("it logs %s", log)
			}
			a := join(t, owner, assigned1, joined)
			b := join(t, standby, assigned2, started, joined)
			a.expect(started)
			a.send(number("1", "client1", 1))
			a.expect("431[]")
			b.send(number("1", "client2", 2))
			b.expect("431[]")
			b.conn.Close()
			a.expect(stopped)
			p := openPolling(t, standby)
			if status, text := p.post(strings.NewReader("40")); status != http.StatusOK {
				t.Fatalf("a forwarded POST is answered %d %s", status, text)
			}
			p.expect(assigned2, started, joined)
			a.expect(started)
			a.send(number("2", "client1", 3))
			a.expect("432[]")
			p.post(strings.NewReader(number("1", "client2", 4)))
			p.expect("431[]")
			if got := strings.Join(owner.numbers(t), " "); got != "one two three four" {
				t.Errorf("numbers.txt has %q", got)
			}
			if !standby.metric(t, "counting_standby 1") || !owner.metric(t, "counting_standby 0") || standby.metric(t, `counting_forwarded_requests_total{outcome="answered"} 0`) {
				t.Error("the metrics do not show who stands by, or that requests are forwarded")
			}
			if !owner.metric(t, `counting_forwarded_requests_total{outcome="answered"} 0`) {
				t.Error("the owner has forwarded requests")
			}
		})
	}
}

// Readers of a standby get the owner's responses.
func TestAStandbyShowsTheOwnersGames(t *testing.T) {
	t.Parallel()
	owner, standby := startPair(t)
	a, b := joinTwo(t, standby)
	blue, _ := joinTwo(t, standby.inGame("game=blue"))
	blue.send(number("1", "client1", 1))
	blue.expect("431[]")
	response, err := http.Get(standby.url + "/events?after=0")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	a.send(number("1", "client1", 1))
	a.expect("431[]")
	b.send(number("1", "client2", 2))
	b.expect("431[]")
	var stream strings.Builder
	chunk := make([]byte, 4096)
	for !strings.Contains(stream.String(), `"text":"two"`) {
		n, err := response.Body.Read(chunk)
		stream.Write(chunk[:n])
		if err != nil {
			t.Fatalf("%v after %s", err, &stream)
		}
	}
	for _, path := range []string{"/numbers.txt", "/numbers.txt?game=blue", "/games?open&limit=1", "/", "/?game=blue", "/?game=none", "/state?game=Bad", "/nowhere", "/numbers.txt?game=none"} {
		status, text, header := request(t, http.MethodGet, owner.url+path, nil)
		forwardedStatus, forwardedText, forwardedHeader := request(t, http.MethodGet, standby.url+path, nil)
		if strings.HasPrefix(path, "/games") {
			text, forwardedText = strings.SplitN(text, `"games"`, 2)[1], strings.SplitN(forwardedText, `"games"`, 2)[1]
			header.Del("Content-Length") // of a time with more or fewer digits
			forwardedHeader.Del("Content-Length")
		}
		if status != forwardedStatus || text != forwardedText {
			t.Errorf("%s: the owner answers %d %.100q, the standby %d %.100q", path, status, text, forwardedStatus, forwardedText)
		}
		for _, h := range []http.Header{header, forwardedHeader} {
			h.Del("Date")
			h.Del("Content-Length") // of /games, which has the time
		}
		if fmt.Sprint(header) != fmt.Sprint(forwardedHeader) {
			t.Errorf("%s: the owner's header is %v, the standby's %v", path, header, forwardedHeader)
		}
	}
}

// When the owner stops, its clients are cut off, including those of a standby, and the
// standby continues the count.
func TestAStandbyTakesOver(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"", "-faithful"} {
		t.Run("mode"+mode, func(t *testing.T) {
			t.Parallel()
			var args []string
			if mode != "" {
				args = append(args, mode)
			}
			owner, standby := startPair(t, args...)
			third := startServerIn(t, owner.data, args...)
			waitForOwner(t, third)
			a := join(t, third, assigned1, joined)
			b := join(t, standby, assigned2, started, joined)
			a.expect(started)
			a.send(number("1", "client1", 1))
			a.expect("431[]")
			began := time.Now()
			if err := owner.stop(); err != nil {
				t.Error(err)
			}
			for _, p := range []*peer{a, b} {
				if packet, err := p.next(); err == nil {
					t.Errorf("%q received, want the end", packet)
				}
			}
			a = dial(t, third) // held until there is an owner
			t.Logf("the next handshake was answered %v after the signal", time.Since(began))
			a.expect(`0{"`)
			a.send("40")
			a.expect(assigned1, joined)
			b = join(t, standby, assigned2, started, joined)
			a.expect(started)
			if mode == "" {
				b.send(number("1", "client2", 2))
				b.expect("431[]")
				if got := strings.Join(standby.numbers(t), " "); got != "one two" {
					t.Errorf("numbers.txt has %q", got)
				}
			}
			if owners := strings.Count(standby.log.String()+third.log.String(), "Taking over"); owners != 1 {
				t.Errorf("%d servers took over", owners)
			}
		})
	}
}

// A standby reports why it cannot forward; an owner that is not ready does not count as
// an owner that has ended.
func TestAStandbyOfAServerThatDoesNotSayWhereItIs(t *testing.T) {
	t.Parallel()
	owner, standby := startPair(t)
	if err := os.Remove(filepath.Join(owner.data, "owner")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the standby not to be ready", func() bool {
		status, text, _ := request(t, http.MethodGet, standby.url+"/ready", nil)
		return status == http.StatusServiceUnavailable && strings.Contains(text, "has not published its address")
	})
	var asking sync.WaitGroup // each waits for acquireTimeout
	for _, path := range []string{"/socket.io/?EIO=4&transport=polling", "/state", "/games"} {
		asking.Go(func() {
			response, err := http.Get(standby.url + path)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			text, _ := io.ReadAll(response.Body)
			if response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), "the server that owns the game is not known") || response.Header.Get("Retry-After") == "" {
				t.Errorf("%s is answered %d %q %v", path, response.StatusCode, text, response.Header)
			}
		})
	}
	asking.Wait()
	if status, _, _ := request(t, http.MethodGet, standby.url+"/health", nil); status != http.StatusOK {
		t.Errorf("/health is answered %d", status)
	}
}

// Only the owner's user can read the file with the secret.
func TestTheOwnerFileCannotBeReadByOthers(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	path := filepath.Join(s.data, "owner")
	waitFor(t, "the owner file", func() bool { _, err := os.Stat(path); return err == nil })
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("when the server has stopped: %v", err)
	}
}

// The headers between servers are ignored in requests of clients, and limits apply to a
// client whichever server it uses.
func TestLimitsThroughAStandbyCountTheClient(t *testing.T) {
	t.Parallel()
	_, standby := startPair(t, "-max-sessions-per-address", "2", "-trusted-proxies", "127.0.0.0/8", "-max-connections-per-address", "3")
	for _, client := range []string{"1.1.1.1", "2.2.2.2"} {
		game := standby.inGame("game=" + strings.ReplaceAll(client, ".", "-"))
		header := http.Header{"X-Forwarded-For": {"6.6.6.6, " + client}, "Counting-Client": {"9.9.9.9"}, "Counting-Secret": {"x"}}
		for i := range 2 {
			c, _, err := websocket.DefaultDialer.Dial(game.wsURL(), header)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			p := &peer{t, c}
			p.expect(`0{"`)
			p.send("40")
			p.expect([]string{assigned1, assigned2}[i])
		}
		_, response, err := websocket.DefaultDialer.Dial(game.wsURL(), header)
		if err == nil {
			t.Fatalf("%s has a third session", client)
		}
		text, _ := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusTooManyRequests || !strings.Contains(string(text), "too many sessions from "+client) {
			t.Errorf("%s is answered %d %s", client, response.StatusCode, text)
		}
	}
}

// The requests of one client through standbys may not use all connections of the owner, so
// that others cannot use the standbys.
func TestConnectionsThroughStandbysCountTheClient(t *testing.T) {
	t.Parallel()
	const most = 4
	owner := startServer(t, "-max-connections", fmt.Sprint(3*most), "-max-connections-per-address", fmt.Sprint(most), "-trusted-proxies", "127.0.0.0/8")
	var standbys []*testServer
	for range 2 {
		s := startServerIn(t, owner.data, "-trusted-proxies", "127.0.0.0/8")
		waitForOwner(t, s)
		standbys = append(standbys, s)
	}
	sid := regexp.MustCompile(`sid=.*`).FindString(openPolling(t, owner).url)
	// send sends a POST of the client, and returns what the server answers.
	send := func(s *testServer, client, length string) *bufio.Reader {
		conn := s.dialTCP(t)
		fmt.Fprintf(conn, "POST /socket.io/?EIO=4&transport=polling&%s HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: %s\r\nContent-Length: %s\r\n\r\n4", sid, client, length)
		return bufio.NewReader(conn)
	}
	status := func(in *bufio.Reader) int {
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		io.Copy(io.Discard, response.Body)
		return response.StatusCode
	}
	for i := range 2 * most {
		send(standbys[i%2], "203.0.113.7", "900000") // the body is not complete
		waitFor(t, "the request to be served or refused", func() bool {
			return i < most || owner.metric(t, fmt.Sprintf(`counting_limits_reached_total{limit="connections_per_address"} %d`, i-most+1))
		})
	}
	for _, s := range standbys {
		if status(send(s, "203.0.113.8", "1")) != http.StatusOK {
			t.Error("another client's request is not served")
		}
		if code, text, _ := request(t, http.MethodGet, s.url+"/ready", nil); code != http.StatusOK {
			t.Errorf("/ready is answered %d, %s", code, text)
		}
	}
}

// BenchmarkForwarding compares the time from a number to its ack of a client of the owner
// with that of a client of a standby, in turn.
func BenchmarkForwarding(b *testing.B) {
	table := results.New(b, "forwarding", "files, two servers on one machine", "number to ack, p50", "p99")
	owner, standby := startPair(b)
	direct := join(b, owner, assigned1, joined)
	forwarded := join(b, standby, assigned2, started, joined)
	direct.expect(started)
	var took [2][]time.Duration
	b.ResetTimer()
	for i := range max(b.N, 2000) {
		took[0] = append(took[0], timeToAck(b, direct, "client1", 2*i+1))
		took[1] = append(took[1], timeToAck(b, forwarded, "client2", 2*i+2))
	}
	b.ReportMetric(0, "ns/op") // meaningless here
	for i, what := range []string{"a client of the owner", "a client of the standby, which forwards"} {
		table.Row(what, percentile(took[i], 50), percentile(took[i], 99))
		b.ReportMetric(ms(percentile(took[i], 50)), []string{"p50-ms-direct", "p50-ms-forwarded"}[i])
	}
}
