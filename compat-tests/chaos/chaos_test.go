// Package chaos plays the game while everything that can go wrong on one
// machine does: programs are killed, ended and frozen, connections are cut,
// swallowed, slowed and broken off. The file is read the whole time.
package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"counting/compat-tests/results"
	"counting/compat-tests/subject"
)

func TestMain(m *testing.M) { subject.Main(m) }

const (
	// seedVariable sets the seed of the schedules, to have a run again.
	seedVariable = "CHAOS_SEED"
	// soakVariable makes a run long: that many programs are killed.
	soakVariable = "SOAK"
	// shortly is how many are without it.
	shortly = 24

	interval = 10 * time.Millisecond // from one number of a client to its next
	noLimit  = 10_000_000
	// Two clients may have to be found out by their heartbeats, one after the other,
	// each of which takes up to 45 s: one whose machine seems to have vanished, and a
	// Python client that has lost its main thread.
	alive = 2 * time.Minute
)

func TestTheCountSurvivesChaos(t *testing.T) {
	t.Parallel()
	games := []struct {
		name    string
		share   int // of the kills, in percent
		clients []subject.Kind
	}{
		{"three Go clients", 70, []subject.Kind{subject.Go, subject.Go, subject.Go}},
		{"two Go, two Python clients", 30, []subject.Kind{subject.Go, subject.Python, subject.Go, subject.Python}},
	}
	seed, kills := rand.Uint64(), int(fromEnvironment(t, soakVariable, shortly))
	seed = fromEnvironment(t, seedVariable, seed)
	t.Logf("to have this again: %s=%d", seedVariable, seed)
	table := results.New(t, "chaos", "game", "what was done", "times", "longest until the count went on behind it")
	for i, game := range games {
		t.Run(game.name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range game.clients {
				kind.Need(t)
			}
			run := newRun(t, rand.New(rand.NewPCG(seed, uint64(i))))
			g := newGame(t, run, check(t, run.file("")), "127.0.0.1:"+run.place.Port, game.clients)
			for g.kills < kills*game.share/100 && !t.Failed() {
				g.round(g.fault)
			}
			g.end()
			g.report(table, game.name, fmt.Sprintf("**in all: %d programs killed, no violation in %d looks at %d lines; seed %d**",
				g.kills, g.checker.looks, g.checker.lines, seed))
		})
	}
}

func fromEnvironment(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// A game is a server, clients, and a line to it for each.
type game struct {
	*run
	players []*player
	checker *checker
	// faults is how many faults there are in a round. Then all is made good, and the
	// count has to go on within alive.
	faults  int
	spacing time.Duration // from one fault to the next, at most

	log    []string // of the faults
	began  time.Time
	times  int
	done   map[string]*tally
	round1 map[string]bool // what was done in this round
	harms  []harm          // that are to be made good
}

// harm is something that was done, until a time.
type harm struct {
	until time.Time
	undo  func()
}

// tally is how often something was done, and how long the count then stood
// still at most when all was made good.
type tally struct {
	times   int
	longest time.Duration
}

// A player is a client with a line of its own.
type player struct {
	*client
	line *line
}

// newGame starts clients of what is at upstream, a host:port.
func newGame(t *testing.T, run *run, checker *checker, upstream string, clients []subject.Kind) *game {
	g := &game{run: run, checker: checker, faults: 8, spacing: 600 * time.Millisecond, began: time.Now(), done: make(map[string]*tally)}
	g.meanwhile = g.undo
	var show sync.Once
	t.Cleanup(func() {
		show.Do(func() {
			if t.Failed() {
				t.Logf("what was done:\n%s", strings.Join(g.log, "\n"))
			}
		})
	})
	for _, kind := range clients {
		line := newLine(t, upstream)
		pace := interval
		if kind == subject.Python {
			pace *= 3 // it never waits for an ack: give the others a chance
		}
		p := &player{client: &client{kind: kind, url: line.url(), pace: pace, checker: g.checker}, line: line}
		g.players = append(g.players, p)
		g.add(p.client)
	}
	return g
}

// round does harm for a while, makes all good again, and waits for the count
// to go on.
func (g *game) round(fault func()) {
	g.t.Helper()
	g.round1 = make(map[string]bool)
	for range g.faults {
		fault()
		g.pass(time.Duration(g.random.Int64N(int64(g.spacing))), nil)
	}
	g.undo(time.Time{})
	took := g.goOn(g.checker)
	for what := range g.round1 {
		g.done[what].longest = max(g.done[what].longest, took)
	}
}

// fault does one thing.
func (g *game) fault() {
	switch n := g.random.IntN(20); {
	case n < 5:
		g.note("server", "killed")
		g.killServer()
	case n < 6:
		g.note("server", "SIGTERM")
		g.server.Terminate()
		if code := g.server.WaitEnd(); code != 0 {
			g.t.Errorf("the server ended with exit code %d on SIGTERM", code)
		}
		g.server = g.place.GoServer(g.t)
	case n < 7:
		g.note("server", "frozen for up to 2 s")
		g.server.Freeze()
		g.pass(time.Duration(g.random.IntN(2000))*time.Millisecond, nil)
		g.server.Thaw()
	default:
		g.clientFault()
	}
}

// clientFault does one thing to a client, or its line.
func (g *game) clientFault() {
	p := g.players[g.random.IntN(len(g.players))]
	switch n := g.random.IntN(13); {
	case n < 5:
		g.note(p.name(), "killed")
		g.killClient(p.client)
	case n < 6 && p.kind == subject.Go && !p.Ended() && p.Output() != "": // it is up, and listens to signals
		g.note(p.name(), "SIGTERM")
		p.Terminate()
		if code := p.WaitEnd(); code != 0 {
			g.t.Errorf("%s ended with exit code %d on SIGTERM", p, code)
		}
		g.restart(p.client)
	case n < 7:
		g.note(p.name(), "frozen for up to 2 s")
		p.Freeze()
		g.pass(time.Duration(g.random.IntN(2000))*time.Millisecond, nil)
		p.Thaw()
	default:
		injury := injuries[g.random.IntN(len(injuries))]
		lines := []*player{p}
		whose := "a line"
		if g.random.IntN(4) == 0 {
			lines, whose = g.players, "all lines"
		}
		g.note(whose, injury.name)
		for _, p := range lines {
			p.line.heal()
			injury.do(p.line, g.random)
			g.later(time.Duration(g.random.IntN(3000))*time.Millisecond, p.line.heal)
		}
	}
}

func (p *player) name() string { return string(p.kind) + " client" }

func (g *game) note(who, what string) {
	g.times++
	g.log = append(g.log, fmt.Sprintf("%8.3f s: %s: %s, at %d", time.Since(g.began).Seconds(), who, what, g.checker.counted()))
	key := who + ": " + what
	g.round1[key] = true
	if g.done[key] == nil {
		g.done[key] = new(tally)
	}
	g.done[key].times++
}

// later has a harm made good after that time, or when the round ends.
func (g *game) later(after time.Duration, undo func()) {
	g.harms = append(g.harms, harm{time.Now().Add(after), undo})
}

// undo makes good what was done until now, and with the zero time everything.
func (g *game) undo(now time.Time) {
	g.harms = slices.DeleteFunc(g.harms, func(h harm) bool {
		due := now.IsZero() || now.After(h.until)
		if due {
			h.undo()
		}
		return due
	})
}

// report writes rows of the table: what was done, and what came of it.
func (g *game) report(table *results.Table, name, inAll string) {
	for _, what := range sorted(g.done) {
		table.Row(name, what, g.done[what].times, g.done[what].longest.Round(10*time.Millisecond))
	}
	table.Row(name, inAll, g.times, g.longest.Round(10*time.Millisecond))
}

// end stops all, as a person does who has seen enough.
func (g *game) end() {
	g.killClients()
	g.server.Terminate()
	if code := g.server.WaitEnd(); code != 0 {
		g.t.Errorf("the server ended with exit code %d", code)
	}
	g.checker.end()
}
