package live

import (
	"fmt"
	"slices"
	"testing"

	"counting/compat-tests/contract"
	"counting/compat-tests/harness"
	"counting/server/protocol"
)

// Each server counts with each pair of clients, over WebSocket or by polling, and
// continues when one of them is killed and a client of another kind takes its seat.
func TestEveryPairingCounts(t *testing.T) {
	t.Parallel()
	for _, server := range []kindOfServer{goServer, flask, goServerBehindProxy, flaskThreading} {
		for i, kind1 := range harness.Kinds {
			for j, kind2 := range harness.Kinds {
				t.Run(fmt.Sprintf("%s with %s and %s", server.name, kind1, kind2), func(t *testing.T) {
					t.Parallel()
					// Each seat is vacated in about half of the pairings.
					seat := protocol.Seats[(i+j)%2]
					replaced := []int{i, j}[(i+j)%2]
					pairing(t, server, kind1, kind2, seat, harness.Kinds[(replaced+1)%len(harness.Kinds)])
				})
			}
		}
	}
}

// pairing counts with two kinds of clients, then with a third kind on that seat.
func pairing(t *testing.T, server kindOfServer, kind1, kind2 harness.Kind, seat protocol.Seat, kind3 harness.Kind) {
	server.need(t, kind1, kind2, kind3)
	g := newGame(t, server.mode)
	server.start(g)
	client1, client2 := g.join(kind1, protocol.Client1), g.join(kind2, protocol.Client2)
	g.grows(20)
	if server.polls {
		g.waitFor("both clients to count", func() bool { return len(counted(client1)) >= 5 && len(counted(client2)) >= 5 })
		client1.Kill()
		client2.Kill()
		server.ends(g)
		return
	}
	leaver, stayer, stays, itsKind := client1, client2, protocol.Client2, kind2
	if seat == protocol.Client2 {
		leaver, stayer, stays, itsKind = client2, client1, protocol.Client1, kind1
	}
	leaver.Kill()
	newcomer := g.join(kind3, seat)
	stayed := len(counted(stayer))
	g.grows(20)
	g.waitFor("both clients to count again", func() bool {
		return len(counted(newcomer)) >= 5 && len(counted(stayer)) >= stayed+5
	})
	for _, client := range []*harness.Program{newcomer, stayer} {
		if client.Ended() {
			t.Errorf("%s has ended", client)
		}
		client.Kill()
	}
	assigned := assignments(newcomer)[0]
	if first := counted(newcomer)[0]; protocol.Int(first) != assigned.LastNumber {
		t.Errorf("%s was assigned %v and began with %d", newcomer, assigned.LastNumber, first)
	}
	server.ends(g)
	if server.name == flask.name && itsKind == harness.Go {
		g.inOrder(stays)
	}
	if lines := g.numbers(); len(lines) < 40 {
		t.Errorf("numbers.txt has %d lines, and had 40", len(lines))
	}
}

// ends ends the server and checks numbers.txt.
func (k kindOfServer) ends(g *game) {
	g.t.Helper()
	if k.mode == contract.Faithful {
		defer func() {
			if g.t.Failed() {
				g.t.Log(g.tail())
			}
		}()
		// A thread of the original may still have to write the number that it handles.
		g.waitFor("each seat to have counted each of its numbers once", func() bool { return eachSeatUnbroken(g) })
		g.Kill()
		return
	}
	g.stops()
	g.unbroken()
}

// eachSeatUnbroken reports whether numbers.txt has what the original guarantees until it
// ends: no seat omits a number or counts one twice. Its order is random, since the
// original handles each event in a thread, or a green thread, of its own.
func eachSeatUnbroken(g *game) bool {
	g.t.Helper()
	for seat, numbers := range g.bySeat() {
		slices.Sort(numbers)
		for i, n := range numbers {
			if n != int64(seat)+2*int64(i) {
				return false
			}
		}
	}
	return true
}

// inOrder checks that numbers.txt has the numbers of these seats in ascending order. The
// original on eventlet guarantees it if one Go client had the seat: a Go client sends its
// next number when it has the ack, and the original writes a number before it acks it.
func (g *game) inOrder(seats ...protocol.Seat) {
	g.t.Helper()
	written := g.bySeat()
	for _, seat := range seats {
		if !slices.IsSorted(written[seat]) {
			g.t.Errorf("the numbers of %s are not in order: %d", seat, written[seat])
		}
	}
}

// bySeat returns the numbers of each seat in the order of numbers.txt.
func (g *game) bySeat() map[protocol.Seat][]int64 {
	g.t.Helper()
	written := make(map[protocol.Seat][]int64)
	for _, line := range g.numbers() {
		n := number(line[:len(line)-1])
		written[protocol.SeatOf(n)] = append(written[protocol.SeatOf(n)], n)
	}
	return written
}
