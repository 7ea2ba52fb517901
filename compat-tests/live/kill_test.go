package live

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"counting/compat-tests/contract"
	"counting/compat-tests/harness"
	"counting/server/protocol"
)

// seedVariable sets the seed of the moments at which programs are killed.
const seedVariable = "LIVE_SEED"

// random returns the source of these moments, and logs its seed.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	t.Logf("to repeat this run: %s=%d", seedVariable, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// awaitLimit waits until the Go clients have ended, and checks that they succeeded and
// that numbers.txt is the count up to the limit.
func (g *game) awaitLimit(limit int, clients ...*harness.Program) {
	g.t.Helper()
	for _, client := range clients {
		if code := client.WaitEnd(); code != 0 {
			g.t.Errorf("%s ended with exit code %d", client, code)
		}
	}
	if lines := g.numbers(); !slices.Equal(lines, spelled(1, 1, limit)) {
		g.t.Errorf("numbers.txt is not the count to %d: %s", limit, g.tail())
	}
}

// The server is killed 20 times at random moments, and started again immediately.
func TestServerIsKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	const limit, kills = 1500, 20
	moments := random(t)
	g := unrecorded(t)
	goServer.start(g)
	clients := []*harness.Program{
		harness.Go.Start(t, g.url, 10*time.Millisecond, limit),
		harness.Go.Start(t, g.url, 10*time.Millisecond, limit),
	}
	for kill := range kills {
		// Some kills come before the clients have reconnected, others after some
		// numbers, at any moment between two of them.
		g.grows(moments.IntN(50))
		<-time.After(time.Duration(moments.IntN(20_000)) * time.Microsecond)
		g.Kill()
		lines := g.unbroken()
		for _, client := range clients {
			if acked := client.Acked(); acked > lines {
				t.Errorf("kill %d: %s received the ack of %d, but the file ends with %d", kill+1, client, acked, lines)
			}
		}
		goServer.start(g)
	}
	t.Logf("killed %d times up to %d", kills, harness.Lines(t, g.deployment.Dir))
	g.awaitLimit(limit, clients...)
	g.stops()
}

// One of the Go clients is killed at random moments, and started again immediately.
func TestGoClientsAreKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	const limit, kills = 600, 10
	moments := random(t)
	g := newGame(t, contract.Default)
	goServer.start(g)
	start := func() *harness.Program { return harness.Go.Start(t, g.url, 10*time.Millisecond, limit) }
	clients := []*harness.Program{start(), start()}
	for range kills {
		g.grows(moments.IntN(30))
		<-time.After(time.Duration(moments.IntN(20_000)) * time.Microsecond)
		i := moments.IntN(len(clients))
		clients[i].Kill()
		clients[i] = start()
	}
	t.Logf("killed %d times up to %d", kills, len(g.numbers()))
	g.awaitLimit(limit, clients...)
	g.stops()
}

func TestGoClientsCountToTheLimit(t *testing.T) {
	t.Parallel()
	for _, server := range []kindOfServer{goServer, flask} {
		t.Run("on the "+server.name, func(t *testing.T) {
			t.Parallel()
			const limit = 100
			server.need(t)
			g := newGame(t, server.mode)
			server.start(g)
			client1 := harness.Go.Start(t, g.url, 10*time.Millisecond, limit)
			client2 := harness.Go.Start(t, g.url, 10*time.Millisecond, limit)
			if server.name == goServer.name {
				g.awaitLimit(limit, client1, client2)
				return
			}
			for _, client := range []*harness.Program{client1, client2} {
				if code := client.WaitEnd(); code != 0 {
					t.Errorf("%s ended with exit code %d", client, code)
				}
			}
			if !eachSeatUnbroken(g) {
				t.Errorf("a seat omits a number or counts one twice; %s", g.tail())
			}
			g.inOrder(protocol.Seats[:]...)
			if lines := g.numbers(); len(lines) != limit {
				t.Errorf("want %d numbers; %s", limit, g.tail())
			}
		})
	}
}
