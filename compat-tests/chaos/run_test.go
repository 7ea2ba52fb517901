package chaos

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/server/numbersfile"
)

// restartTime is how long after its end a client is started again, as by a supervisor.
const restartTime = 300 * time.Millisecond

// A run is a server, and clients each of which is started again whenever it ends.
type run struct {
	t          *testing.T
	random     *rand.Rand
	deployment harness.Deployment
	server     *harness.Server // or nil if there are several
	clients    []*client
	kills      int
	longest    time.Duration // from the repair until the count continued
	// meanwhile, if not nil, is called every few milliseconds while pass waits.
	meanwhile func(now time.Time)
}

// A client counts in the game whose file the checker reads.
type client struct {
	*harness.Program
	kind    harness.Kind
	url     string
	pace    time.Duration // from one of its numbers to the next
	checker *checker
	back    time.Time // when it is started again, or zero
}

func newRun(t *testing.T, random *rand.Rand) *run {
	r := &run{t: t, random: random, deployment: harness.NewDeployment(t)}
	r.server = r.deployment.GoServer(t)
	return r
}

// file returns the path of the numbers file of a game, the default one if the name
// is empty.
func (r *run) file(game string) string {
	if game == "" {
		return filepath.Join(r.deployment.Dir, numbersfile.Name)
	}
	return filepath.Join(r.deployment.Dir, "games", game, numbersfile.Name)
}

// add adds a client, and starts it.
func (r *run) add(c *client) {
	r.clients = append(r.clients, c)
	r.start(c)
}

func (r *run) start(c *client) {
	c.Program, c.back = c.kind.Start(r.t, c.url, c.pace, noLimit), time.Time{}
}

// ended checks the acks of a client that has ended.
func (c *client) ended() {
	if c.kind == harness.Go {
		c.checker.isIn(c.AllAcked(), c.Program)
	}
}

// restart starts a client again that has just ended.
func (r *run) restart(c *client) {
	c.ended()
	r.start(c)
}

func (r *run) killClient(c *client) {
	r.kills++
	c.Kill()
	r.restart(c)
}

func (r *run) killServer() {
	r.kills++
	r.server.Kill()
	r.server = r.deployment.GoServer(r.t)
}

// pass waits until the condition holds, if there is one, or the time has passed. It
// reports whether the condition holds. Clients that have ended are started again.
func (r *run) pass(long time.Duration, condition func() bool) bool {
	for end := time.Now().Add(long); ; time.Sleep(5 * time.Millisecond) {
		now := time.Now()
		if r.meanwhile != nil {
			r.meanwhile(now)
		}
		for _, c := range r.clients {
			switch {
			case c.back.IsZero() && c.Ended():
				c.ended()
				c.back = now.Add(restartTime)
			case !c.back.IsZero() && now.After(c.back):
				r.start(c)
			}
		}
		if r.server != nil && r.server.Ended() {
			r.t.Fatalf("the server has ended unexpectedly:\n%s", r.server.Output())
		}
		switch {
		case condition != nil && condition():
			return true
		case now.After(end), r.t.Failed():
			return false
		}
	}
}

// awaitCount waits until the games of these checkers continue by two numbers of each
// seat, after everything was repaired.
func (r *run) awaitCount(games ...*checker) (took time.Duration) {
	r.t.Helper()
	repaired := time.Now()
	want := make([]int64, len(games))
	for i, g := range games {
		want[i] = g.counted() + 4
	}
	if !r.pass(recoveryTimeout, func() bool {
		for i, g := range games {
			if g.counted() < want[i] {
				return false
			}
		}
		return true
	}) && !r.t.Failed() {
		for i, g := range games {
			r.t.Errorf("%v after the repair %s is at %d, want %d", recoveryTimeout, g.name, g.counted(), want[i])
		}
	}
	took = time.Since(repaired)
	r.longest = max(r.longest, took)
	return took
}

// killClients kills all clients and does not start them again.
func (r *run) killClients() {
	for _, c := range r.clients {
		c.Kill()
		c.ended()
	}
}
