package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// metric reports whether /metrics has that line.
func (s *testServer) metric(t *testing.T, line string) bool {
	t.Helper()
	_, text, _ := request(t, http.MethodGet, s.url+"/metrics", nil)
	return strings.Contains(text, "\n"+line+"\n")
}

func TestThereIsRoomForAsManySessionsAsAllowed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		flag, limit string
		status      int
		text        string
	}{
		{"-max-sessions", "sessions", 503, `"too many sessions: the limit is 2"`},
		{"-max-sessions-per-address", "sessions_per_address", 429, `"too many sessions from 127.0.0.1: the limit is 2"`},
	} {
		t.Run(tt.flag, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, tt.flag, "2")
			a, b := joinTwo(t, s)
			status, text, header := request(t, "GET", s.url+"/socket.io/?EIO=4&transport=polling", nil)
			if status != tt.status || text != tt.text || header.Get("Retry-After") == "" {
				t.Errorf("one too many is answered %d %s %v", status, text, header)
			}
			if _, response, err := websocket.DefaultDialer.Dial(s.wsURL(), nil); err == nil || response.StatusCode != tt.status {
				t.Errorf("one too many over WebSocket: %v, %v", response, err)
			}
			waitFor(t, "both to be counted", func() bool {
				return s.metric(t, fmt.Sprintf(`counting_limits_reached_total{limit=%q} 2`, tt.limit))
			})
			count(a, "client1", 1, 1)
			count(b, "client2", 2, 2)
			a.expect("431[]")
			b.expect("432[]")
			a.conn.Close()
			b.expect(stopped)
			join(t, s, assigned1, started, joined)
		})
	}
}

// A client that opened -max-sessions sessions and abandoned them locked out all others
// until the heartbeat ended them.
func TestASessionThatNeverJoinedGivesWay(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-max-sessions", "3", "-max-sessions-per-address", "0")
	for range 20 {
		openPolling(t, s)
	}
	a, b := joinTwo(t, s)
	for range 20 {
		openPolling(t, s)
	}
	refused := dial(t, s) // one that asked to join and was refused counts as idle, too
	refused.expect("0{")
	count(a, "client1", 1, 1)
	count(b, "client2", 2, 2)
	a.expect("431[]")
	b.expect("432[]")
	if !s.metric(t, `counting_limits_reached_total{limit="abandoned_sessions"} 40`) || !s.metric(t, `counting_limits_reached_total{limit="sessions"} 0`) {
		t.Error("the metrics do not show that 40 sessions were evicted")
	}
	waitFor(t, "all but three to be gone", func() bool { return s.metric(t, "counting_sessions 3") })
}

// A client that asked for acks and did not read them made the server's memory grow.
func TestASessionThatDoesNotTakeWhatItIsSentIsEnded(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-max-waiting", "100")
	a, b := joinTwo(t, s)
	count(a, "client1", 1, 1)
	a.expect("431[]")
	b.conn.Close()
	a.expect(stopped)
	greedy := openPolling(t, s)
	greedy.post(strings.NewReader("40"))
	greedy.expect(assigned2, started, joined)
	a.expect(started)
	for range 30 {
		var packets []string
		for range 10 {
			packets = append(packets, number("7", "client2", -2))
		}
		greedy.post(strings.NewReader(strings.Join(packets, "\x1e")))
	}
	a.expect(stopped) // its seat is free
	if status, _ := greedy.post(strings.NewReader("2")); status != http.StatusBadRequest {
		t.Errorf("its session answers %d", status)
	}
	if !s.metric(t, `counting_limits_reached_total{limit="waiting_packets"} 1`) {
		t.Error("the metrics do not show it")
	}
	join(t, s, assigned2, started, joined)
}

// Numbers that were sent ahead of their turn kept their packets in memory, for their acks,
// and nothing bounded the acks of all games. What is no longer waited for does not count.
func TestAcksThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-max-receiving", "65536")
	a, b := joinTwo(t, s)
	free := func() {
		t.Helper()
		waitFor(t, "nothing to be reserved", func() bool { return s.metric(t, "counting_receiving_bytes 0") })
	}
	for range 3 { // the session leaves, and the connection stays
		for range 200 {
			b.send(number("1", "client2", 2))
		}
		b.send("41", "40")
		b.expect(stopped, assigned2, started, joined)
		a.expect(stopped, started)
		free()
	}
	for range 300 { // one address may have half of the limit
		if b.conn.WriteMessage(websocket.TextMessage, []byte(number("1", "client2", 2))) != nil {
			break
		}
	}
	a.expect(stopped) // b was disconnected
	if !s.metric(t, `counting_limits_reached_total{limit="receiving_bytes"} 1`) {
		t.Error("the metrics do not show it")
	}
	free()
	b = join(t, s, assigned2, started, joined)
	a.expect(started)
	count(a, "client1", 1, 1)
	count(b, "client2", 2, 2)
	a.expect("431[]")
	b.expect("432[]")
	for range 400 { // those that are answered do not count
		count(a, "client1", 1, 1)
		a.expect("431[]")
	}
}
