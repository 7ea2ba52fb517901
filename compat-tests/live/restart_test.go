package live

import (
	"fmt"
	"strings"
	"testing"

	"counting/compat-tests/harness"
	"counting/server/protocol"
)

// Python clients survive the end of the Go server and continue where the file ends. It
// is random which of them reconnects first and is assigned client1, so the server is
// ended until each of them has been.
func TestPythonClientsOutliveTheServer(t *testing.T) {
	t.Parallel()
	ends := []struct {
		name string
		end  func(*game)
	}{
		{"killed", func(g *game) { g.Kill() }},
		{"terminated", func(g *game) { g.stops() }},
	}
	for _, tt := range ends {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			retryClientRace(t, func() { outlive(t, tt.end) })
		})
	}
}

func outlive(t *testing.T, end func(*game)) {
	goServer.need(t, harness.Python)
	g := unrecorded(t)
	g.pace = slow
	goServer.start(g)
	clients := []*harness.Program{g.join(harness.Python, protocol.Client1), g.join(harness.Python, protocol.Client2)}
	const least, most = 4, 20
	firsts := map[*harness.Program]int{} // how often each was assigned client1 after a restart
	for n := 1; n <= least || len(firsts) < len(clients) && n <= most; n++ {
		g.grows(10)
		end(g)
		last := g.unbroken()
		goServer.start(g)
		g.waitFor(fmt.Sprintf("both clients to be assigned a seat after restart %d", n), func() bool {
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
			t.Errorf("one client was never assigned client1 after a restart: %v", firsts)
		}
	}
}

// nextOf returns the next number of a seat if the file ends with last.
func nextOf(seat protocol.Seat, last int64) int64 {
	if protocol.SeatOf(last+1) == seat {
		return last + 1
	}
	return last + 2
}

// assignedBeforeConnected checks that each time the client received its seat and number
// before its library reported the connection.
func assignedBeforeConnected(t *testing.T, client *harness.Program) {
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
