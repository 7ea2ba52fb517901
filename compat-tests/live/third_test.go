package live

import (
	"strings"
	"testing"

	"counting/compat-tests/contract"
	"counting/compat-tests/harness"
	"counting/server/protocol"
)

// full is what the server prints when a client connects and both seats are taken.
const full = "More than 2 clients attempted to connect, rejecting connection."

func TestThirdClient(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		kind harness.Kind
		play func(g *game, client1, third *harness.Program)
	}{
		{"in Python is refused after a second", harness.Python, func(g *game, _, third *harness.Program) {
			if code := third.WaitEnd(); code != 0 {
				g.t.Errorf("exit code %d", code)
			}
			if out := third.Output(); out != "Error: One or more namespaces failed to connect\n" {
				g.t.Errorf("it printed %q", out)
			}
		}},
		{"in Python gets a seat that is vacated within a second", harness.Python, func(g *game, client1, third *harness.Program) {
			client1.Kill()
			g.takesOver(third)
		}},
		{"in Go gets a seat that is vacated while it waits", harness.Go, func(g *game, client1, third *harness.Program) {
			client1.Kill()
			g.takesOver(third)
		}},
		{"in Go gets a seat that is vacated after it was refused", harness.Go, func(g *game, client1, third *harness.Program) {
			third.Prints(g.t, "Error: both seats are taken")
			client1.Kill()
			g.takesOver(third)
		}},
		{"in JavaScript gets a seat that is vacated after it was refused", harness.JavaScript, func(g *game, client1, third *harness.Program) {
			third.Prints(g.t, "Error: both seats are taken")
			client1.Kill()
			g.takesOver(third)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			goServer.need(t, tt.kind)
			g := newGame(t, contract.Default)
			goServer.start(g)
			client1 := g.join(harness.Go, protocol.Client1)
			g.join(harness.Go, protocol.Client2)
			g.grows(10)
			third := tt.kind.Start(t, g.url, interval, noLimit)
			g.Server.Prints(g.t, full)
			tt.play(g, client1, third)
			g.grows(10)
			g.stops()
			g.unbroken()
		})
	}
}

// takesOver waits until a client has client1's seat and counts.
func (g *game) takesOver(client *harness.Program) {
	g.t.Helper()
	client.Prints(g.t, "Assigned as client1,")
	g.waitFor(client.String()+" to count", func() bool { return len(counted(client)) >= 3 })
	if out := client.Output(); strings.Count(out, "Assigned as") != 1 {
		g.t.Errorf("it was assigned more than once")
	}
}
