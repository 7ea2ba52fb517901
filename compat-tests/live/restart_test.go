package live

import (
	"fmt"
	"strings"
	"testing"

	"counting/compat-tests/subject"
	"counting/server/protocol"
)

// Python clients outlive the Go server, however it ends, and count on where the
// file ends. Chance decides which of them comes back first and is given client1,
// so the server ends until each of them was.
func TestPythonClientsOutliveTheServer(t *testing.T) {
	t.Parallel()
	ends := []struct {
		name string
		end  func(*game)
	}{
		{"killed", func(g *game) { g.Kill() }},
		{"ended as Kubernetes does", func(g *game) { g.stops() }},
	}
	for _, tt := range ends {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			unlessTripped(t, func() { outlive(t, tt.end) })
		})
	}
}

func outlive(t *testing.T, end func(*game)) {
	goServer.need(t, subject.Python)
	g := unrecorded(t)
	g.pace = slow
	goServer.start(g)
	clients := []*subject.Program{g.join(subject.Python, protocol.Client1), g.join(subject.Python, protocol.Client2)}
	const least, most = 4, 20
	firsts := map[*subject.Program]int{} // how often each was given client1 after a restart
	for n := 1; n <= least || len(firsts) < len(clients) && n <= most; n++ {
		g.grows(10)
		end(g)
		last := g.unbroken()
		goServer.start(g)
		g.until(fmt.Sprintf("both clients are assigned after restart %d", n), func() bool {
			return len(assignments(clients[0])) > n && len(assignments(clients[1])) > n
		})
		for _, client := range clients {
			a := assignments(client)[n]
			if a.ClientID == protocol.Client1.String() {
				firsts[client]++
			}
			if want := nextOf(protocol.SeatNamed(a.ClientID), last); a.LastNumber != protocol.Int(want) {
				t.Errorf("with %d lines in the file, %s resumes from %v, want %d", last, a.ClientID, a.LastNumber, want)
			}
		}
	}
	g.grows(10)
	g.stops()
	g.unbroken()
	for _, client := range clients {
		assignedBeforeConnected(t, client)
		if firsts[client] == 0 {
			t.Errorf("one client was never given client1 after a restart: %v", firsts)
		}
	}
}

// nextOf is the number that a seat has to count next after a file that ends
// with last.
func nextOf(seat protocol.Seat, last int64) int64 {
	if protocol.SeatOf(last+1) == seat {
		return last + 1
	}
	return last + 2
}

// assignedBeforeConnected holds a client to what its library promises it: each
// time, it knows its seat and its number before it is told that it is connected.
func assignedBeforeConnected(t *testing.T, client *subject.Program) {
	t.Helper()
	assigned := false
	for line := range strings.Lines(client.Output()) {
		switch {
		case strings.HasPrefix(line, "Assigned as"):
			assigned = true
		case strings.HasPrefix(line, "Connected to server!"):
			if !assigned {
				t.Errorf("%s was connected before it was assigned", client)
			}
			assigned = false
		case strings.HasPrefix(line, "Error:"):
			t.Errorf("%s: %s", client, line)
		}
	}
}
