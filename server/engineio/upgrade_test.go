package engineio

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

func TestUpgrade(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for _, tt := range []struct {
		name  string
		sends []string
		// ends means that the WebSocket is closed and the session continues to poll.
		ends bool
	}{
		{"in order", []string{"2probe", "5"}, false},
		{"a PING that is not a probe", []string{"2"}, true},
		{"a PONG", []string{"3probe"}, true},
		{"a message before the probe", []string{"4x"}, true},
		{"UPGRADE without a probe", []string{"5"}, true},
		{"two probes", []string{"2probe", "2probe"}, true},
		{"a message after the probe", []string{"2probe", "4x"}, true},
		{"what is not a packet", []string{"x"}, true},
		{"an empty message", []string{""}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sid := s.opens()
			polled := make(chan string, 1)
			go func() {
				_, text := s.request("GET", sid, "")
				polled <- text
			}()
			waitForPoll(t, s.opened(sid))
			conn := s.dial(sid)
			write(t, conn, tt.sends...)
			if tt.sends[0] == "2probe" {
				expect(t, conn, "3probe")
			}
			if tt.ends {
				expectClosed(t, conn)
				s.request("POST", sid, "4hello")
				text := <-polled
				for text == "6" {
					_, text = s.request("GET", sid, "")
				}
				if text != "4hello" {
					t.Errorf("the session answers %q, want 4hello", text)
				}
				return
			}
			if text := <-polled; text != "6" {
				t.Errorf("the waiting poll was answered %q, want 6", text)
			}
			write(t, conn, "4hello")
			expect(t, conn, "4hello")
			if status, _ := s.request("GET", sid, ""); status != http.StatusBadRequest {
				t.Errorf("a poll after the upgrade is answered %d", status)
			}
		})
	}
}

// Messages that are sent during the probe arrive after the upgrade, in order.
func TestNothingIsLostOrReorderedByAnUpgrade(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	sid := s.opens()
	conn := s.dial(sid)
	write(t, conn, "2probe")
	expect(t, conn, "3probe")
	for i := range 20 {
		s.request("POST", sid, fmt.Sprint("4", i))
		if _, text := s.request("GET", sid, ""); text != "6" {
			t.Fatalf("a poll while the upgrade is probed is answered %q, want 6", text)
		}
	}
	write(t, conn, "5")
	for i := range 20 {
		expect(t, conn, fmt.Sprint("4", i))
	}
	write(t, conn, "4last")
	expect(t, conn, "4last")
}

// A second upgrade is refused, and does not affect the first.
func TestASecondUpgradeIsClosed(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	sid := s.opens()
	first, second := s.dial(sid), s.dial(sid)
	write(t, first, "2probe")
	expect(t, first, "3probe")
	third := s.dial(sid)
	write(t, second, "2probe")
	expectClosed(t, second)
	write(t, first, "5", "4hello")
	expect(t, first, "4hello")
	write(t, third, "2probe")
	expectClosed(t, third)
	write(t, first, "4hello")
	expect(t, first, "4hello")
}

// Control frames during an upgrade are answered, and do not end it; binary data does.
func TestControlFramesDuringAnUpgrade(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	probe, upgrade := frame(ws.OpText, true, "2probe"), frame(ws.OpText, true, "5")
	ping, pong := frame(ws.OpPing, true, "p"), frame(ws.OpPong, true, "p")
	const ponged, probed = "\x8a\x01p", "\x81\x063probe"
	for _, tt := range []struct {
		parts    []string
		sent     string
		upgraded bool
	}{
		{[]string{ping, pong, probe, pong, ping, upgrade}, ponged + probed + ponged, true},
		{[]string{frame(ws.OpBinary, true, "2probe"), upgrade}, "", false},
		{[]string{probe, frame(ws.OpBinary, true, "5")}, probed, false},
	} {
		u := s.upgrades(tt.parts...)
		u.session.mu.Lock()
		upgraded := u.session.conn != nil
		u.session.mu.Unlock()
		u.mu.Lock()
		sent := u.sent
		u.mu.Unlock()
		if upgraded { // the end of the session may follow
			sent, _, _ = strings.Cut(sent, "\x88")
		}
		if sent != tt.sent || upgraded != tt.upgraded {
			t.Errorf("after %q, %q is sent; upgraded: %t", tt.parts, sent, upgraded)
		}
	}
}

// A session that ends during its upgrade is not upgraded, and one of which the probe cannot
// be answered continues to poll.
func TestUpgradesThatFail(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for _, broken := range []error{nil, io.ErrClosedPipe} {
		u := &upgrading{session: s.opened(s.opens()), broken: broken}
		u.parts = []string{frame(ws.OpText, true, "2probe"), frame(ws.OpText, true, "5")}
		u.before = func() {
			if broken == nil && len(u.parts) == 1 {
				u.session.Close("it ends")
			}
		}
		u.serve()
		u.session.mu.Lock()
		if u.session.conn != nil || u.session.ending != (broken == nil) {
			t.Errorf("the error %v: it is upgraded: %t, ending: %t", broken, u.session.conn != nil, u.session.ending)
		}
		u.session.mu.Unlock()
	}
}

// What was counted of a message that does not end is given back.
func TestAnUpgradeThatEndsWithinAMessage(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	long := frame(ws.OpText, true, strings.Repeat("x", 50_000))[:40_000]
	for _, before := range [][]string{nil, {frame(ws.OpText, true, "2probe"), frame(ws.OpText, true, "5")}} {
		s.upgrades(append(before, long)...)
		if receiving, _ := s.Usage(); receiving != 0 {
			t.Errorf("after %q, %d bytes are counted", before, receiving)
		}
	}
}

// A proxy without upgrades forwards a plain request. The session continues to poll, and
// none of its packets is lost.
func TestAnUpgradeThatAProxyTookAwayIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	sid := s.opens()
	response, err := http.Get(s.url + "/?EIO=4&transport=websocket" + sid)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("it is answered %d", response.StatusCode)
	}
	s.request("POST", sid, "4hello")
	if _, text := s.request("GET", sid, ""); text != "4hello" {
		t.Errorf("the next poll brings %q", text)
	}
}

// Cutting a waiting poll and an upgrading WebSocket together crashed an earlier server
// within some thousand rounds. They must not leave anything behind either.
func TestPollsAndUpgradesThatAreCutTogether(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	fmt.Sscan(os.Getenv("ROUNDS"), &rounds)
	// A session whose poll was answered in time stays open until its heartbeat ends it.
	// That must not be before its upgrade, even on a busy machine.
	s := start(t, Options{PingInterval: 2 * time.Second, PingTimeout: 3 * time.Second})
	addr := strings.TrimPrefix(s.url, "http://")
	goroutines := runtime.NumGoroutine()
	var workers sync.WaitGroup
	var done atomic.Int64
	for range 8 {
		workers.Go(func() {
			for done.Add(1) <= int64(rounds) {
				cutTogether(t, s, addr)
			}
		})
	}
	workers.Wait()
	waitFor(t, "the sessions to end", func() bool { return s.Sessions() == 0 && s.open.Load() == 0 })
	http.DefaultClient.CloseIdleConnections()
	waitFor(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines+4 })
	s.Server.mu.Lock()
	defer s.Server.mu.Unlock()
	if n := s.pings.queue.Len() + s.pongs.queue.Len() + len(s.slots.address); n != 0 {
		t.Errorf("%d heartbeats and addresses are left", n)
	}
}

// cutTogether opens a session that polls and upgrades, and cuts both connections.
func cutTogether(t testing.TB, s *testServer, addr string) {
	sid := s.opens()
	poll, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	upgrade, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	fmt.Fprintf(poll, "GET /?EIO=4&transport=polling%s HTTP/1.1\r\nHost: x\r\n\r\n", sid)
	fmt.Fprintf(upgrade, "GET /?EIO=4&transport=websocket%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", sid)
	response, err := http.ReadResponse(bufio.NewReader(upgrade), nil)
	if err == nil && response.StatusCode == http.StatusBadRequest {
		poll.Close()
		upgrade.Close()
		return // its heartbeat has ended it, on a busy machine
	}
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("the upgrade was answered %v, %v", response, err)
	}
	io.WriteString(upgrade, frame(ws.OpText, true, "2probe"))
	io.WriteString(upgrade, frame(ws.OpText, true, "5"))
	poll.(*net.TCPConn).SetLinger(0)
	upgrade.(*net.TCPConn).SetLinger(0)
	go poll.Close()
	upgrade.Close()
}
