package chaos

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"counting/compat-tests/subject"
	"counting/server/numbersfile"
)

// restartTime is how long a client that has ended stays away, as with a supervisor.
const restartTime = 300 * time.Millisecond

// A run is a server, and clients each of which is started again whenever it ends.
type run struct {
	t       *testing.T
	random  *rand.Rand
	place   subject.Place
	server  *subject.Server // nil: meanwhile looks after several
	clients []*client
	kills   int
	longest time.Duration // from when all was made good until the count went on
	// meanwhile, if it is not nil, is called again and again while time passes.
	meanwhile func(now time.Time)
}

// A client counts in the game whose file the checker reads.
type client struct {
	*subject.Program
	kind    subject.Kind
	url     string
	pace    time.Duration // from one of its numbers to the next
	checker *checker
	back    time.Time // it is started again then, or zero
}

func newRun(t *testing.T, random *rand.Rand) *run {
	r := &run{t: t, random: random, place: subject.NewPlace(t)}
	r.server = r.place.GoServer(t)
	return r
}

// file returns the path of the numbers file of a game, the default one if the name
// is empty.
func (r *run) file(game string) string {
	if game == "" {
		return filepath.Join(r.place.Dir, numbersfile.Name)
	}
	return filepath.Join(r.place.Dir, "games", game, numbersfile.Name)
}

// add adds a client, and starts it.
func (r *run) add(c *client) {
	r.clients = append(r.clients, c)
	r.start(c)
}

func (r *run) start(c *client) {
	c.Program, c.back = c.kind.Start(r.t, c.url, c.pace, noLimit), time.Time{}
}

// ended takes the account of a client that has ended.
func (c *client) ended() {
	if c.kind == subject.Go {
		c.checker.isIn(c.AllAcked(), c.Program)
	}
}

// restart starts a client again that was ended just now.
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
	r.server = r.place.GoServer(r.t)
}

// pass lets time pass until the condition comes true, if there is one, and tells
// whether it has. Who has ended comes back.
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
			r.t.Fatalf("the server has ended by itself:\n%s", r.server.Output())
		}
		switch {
		case condition != nil && condition():
			return true
		case now.After(end), r.t.Failed():
			return false
		}
	}
}

// goOn waits for the games of these checkers to go on, two numbers of each seat. All
// was made good just now.
func (r *run) goOn(games ...*checker) (took time.Duration) {
	r.t.Helper()
	good := time.Now()
	want := make([]int64, len(games))
	for i, g := range games {
		want[i] = g.counted() + 4
	}
	if !r.pass(alive, func() bool {
		for i, g := range games {
			if g.counted() < want[i] {
				return false
			}
		}
		return true
	}) {
		for i, g := range games {
			r.t.Errorf("all was made good %v ago, and %s stands at %d, want %d", alive, g.name, g.counted(), want[i])
		}
	}
	took = time.Since(good)
	r.longest = max(r.longest, took)
	return took
}

// killClients ends all clients, for good.
func (r *run) killClients() {
	for _, c := range r.clients {
		c.Kill()
		c.ended()
	}
}
