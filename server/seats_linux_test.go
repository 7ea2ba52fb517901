package main

import (
	"net"
	"testing"

	"github.com/gorilla/websocket"
)

// from dials from one of the machine's loopback addresses. Only Linux has others than
// 127.0.0.1.
func from(t *testing.T, s *testServer, address string) *peer {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext}
	conn, _, err := dialer.Dial(s.wsURL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := &peer{t, conn}
	p.expect("0{")
	p.send("40")
	return p
}

// A client with many waiting sessions got the next seat, and also the one after.
func TestASeatGoesToAnAddressThatHasNone(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a := from(t, s, "127.0.0.2")
	a.expect(assigned1, joined)
	b := from(t, s, "127.0.0.3")
	b.expect(assigned2, started, joined)
	a.expect(started)
	greedy := from(t, s, "127.0.0.3")
	waitFor(t, "it to wait", func() bool { return s.metric(t, "counting_waiting_clients 1") })
	again := from(t, s, "127.0.0.2")
	waitFor(t, "it to wait", func() bool { return s.metric(t, "counting_waiting_clients 2") })
	honest := from(t, s, "127.0.0.4")
	waitFor(t, "it to wait", func() bool { return s.metric(t, "counting_waiting_clients 3") })
	a.conn.Close()
	b.expect(stopped, started)
	honest.expect(assigned1, started, joined)
	again.conn.Close()
	greedy.conn.Close()
}
