package live

import (
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/server/protocol"
)

// SIGTERM ends a Go client within a second with exit code 0, whatever it waits for.
// This test and the next are not parallel: they measure time.
func TestGoClientsEndWithinASecond(t *testing.T) {
	start := func(g *game) *harness.Program { return harness.Go.Start(g.t, g.url, interval, noLimit) }
	tests := []struct {
		name  string
		state func(*game) *harness.Program // the client in that state
	}{
		{"while it counts", func(g *game) *harness.Program {
			goServer.start(g)
			client := g.join(harness.Go, protocol.Client1)
			g.join(harness.Go, protocol.Client2)
			g.grows(10)
			return client
		}},
		{"while it waits for another client", func(g *game) *harness.Program {
			goServer.start(g)
			return g.join(harness.Go, protocol.Client1)
		}},
		{"while it waits for a seat", func(g *game) *harness.Program {
			goServer.start(g)
			g.join(harness.Go, protocol.Client1)
			g.join(harness.Go, protocol.Client2)
			client := start(g)
			g.Server.Prints(g.t, full)
			return client
		}},
		{"while it waits for a server that hangs", func(g *game) *harness.Program {
			goServer.start(g)
			client := g.join(harness.Go, protocol.Client1)
			g.join(harness.Go, protocol.Client2)
			g.grows(10)
			g.Freeze()
			return client
		}},
		{"while it waits for a server that is not running", func(g *game) *harness.Program {
			client := start(g)
			client.Prints(g.t, "Error:")
			return client
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			endsWithinASecond(t, tt.state(unrecorded(t)))
		})
	}
}

// SIGTERM ends the Go server within a second with exit code 0, with all kinds of clients.
func TestGoServerEndsWithinASecond(t *testing.T) {
	tests := []struct {
		name    string
		clients []harness.Kind
	}{
		{"without clients", nil},
		{"with a client that waits", []harness.Kind{harness.Python}},
		{"with Go and Python", []harness.Kind{harness.Go, harness.Python}},
		{"with JavaScript and a third client", []harness.Kind{harness.JavaScript, harness.JavaScript, harness.Go}},
		{"with clients that hang", []harness.Kind{harness.Go, harness.Go}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			goServer.need(t, tt.clients...)
			g := unrecorded(t)
			goServer.start(g)
			for i, kind := range tt.clients {
				if i == len(protocol.Seats) {
					kind.Start(t, g.url, interval, noLimit)
					g.Server.Prints(g.t, full)
					break
				}
				client := g.join(kind, protocol.Seats[i])
				if tt.name == "with clients that hang" {
					client.Freeze()
				}
			}
			endsWithinASecond(t, g.Server.Program)
			g.unbroken()
		})
	}
}

func endsWithinASecond(t *testing.T, p *harness.Program) {
	t.Helper()
	most := time.Second
	if !harness.Soak() { // the machine may be busy
		most = 3 * time.Second
	}
	if took := p.Terminate(); took > most {
		t.Errorf("%s took %v to end", p, took)
	} else {
		t.Logf("%s took %v to end", p, took)
	}
	if code := p.WaitEnd(); code != 0 {
		t.Errorf("%s ended with exit code %d", p, code)
	}
}
