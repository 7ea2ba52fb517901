// Package chaos runs the game under random faults: programs are killed, terminated and
// frozen, and connections are closed, reset, slowed and made to lose data. The file is
// checked all the time.
package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/compat-tests/results"
)

func TestMain(m *testing.M) { harness.Main(m) }

const (
	// seedVariable sets the seed of the schedules, to repeat a run.
	seedVariable = "CHAOS_SEED"
	// soakVariable is how many programs are killed in a long run.
	soakVariable = "SOAK"
	// shortKills is how many are killed otherwise.
	shortKills = 24

	interval = 10 * time.Millisecond // from one number of a client to its next
	noLimit  = 10_000_000
	// Two clients may have to be disconnected by the heartbeat, one after the other,
	// which takes up to 45 s each: one whose connection loses all data, and a Python
	// client that has lost its main thread.
	recoveryTimeout = 2 * time.Minute
)

func TestTheCountSurvivesChaos(t *testing.T) {
	t.Parallel()
	games := []struct {
		name    string
		share   int // of the kills, in percent
		clients []harness.Kind
	}{
		{"three Go clients", 70, []harness.Kind{harness.Go, harness.Go, harness.Go}},
		{"two Go, two Python clients", 30, []harness.Kind{harness.Go, harness.Python, harness.Go, harness.Python}},
	}
	seed, kills := rand.Uint64(), int(fromEnvironment(t, soakVariable, shortKills))
	seed = fromEnvironment(t, seedVariable, seed)
	t.Logf("to repeat this run: %s=%d", seedVariable, seed)
	table := results.New(t, "chaos", "game", "fault", "times", "longest time until the count continued")
	for i, game := range games {
		t.Run(game.name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range game.clients {
				kind.Need(t)
			}
			run := newRun(t, rand.New(rand.NewPCG(seed, uint64(i))))
			g := newGame(t, run, check(t, run.file("")), "127.0.0.1:"+run.deployment.Port, game.clients)
			for g.kills < kills*game.share/100 && !t.Failed() {
				g.round(g.fault)
			}
			g.end()
			g.report(table, game.name, fmt.Sprintf("**total: %d programs killed, no violation in %d checks of %d lines; seed %d**",
				g.kills, g.checker.checks, g.checker.lines, seed))
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

// A game is a server, and clients each of which reaches it through a link.
type game struct {
	*run
	linked  []*linkedClient
	checker *checker
	// faults is how many faults there are in a round. After them everything is
	// repaired, and the count must continue within recoveryTimeout.
	faults  int
	spacing time.Duration // from one fault to the next, at most

	log         []string // of the faults
	began       time.Time
	times       int
	tallies     map[string]*tally
	roundFaults map[string]bool // the faults of this round
	repairs     []repair        // that are pending
}

// repair ends a fault at a time.
type repair struct {
	at time.Time
	do func()
}

// tally is how often a fault occurred, and the longest time from the repair until the
// count continued.
type tally struct {
	times   int
	longest time.Duration
}

// A linkedClient is a client that reaches the server through a link of its own.
type linkedClient struct {
	*client
	link *link
}

// newGame starts clients of what is at upstream, a host:port.
func newGame(t *testing.T, run *run, checker *checker, upstream string, clients []harness.Kind) *game {
	g := &game{run: run, checker: checker, faults: 8, spacing: 600 * time.Millisecond, began: time.Now(), tallies: make(map[string]*tally)}
	g.meanwhile = g.repairDue
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the faults:\n%s", strings.Join(g.log, "\n"))
		}
	})
	for _, kind := range clients {
		link := newLink(t, upstream)
		pace := interval
		if kind == harness.Python {
			pace *= 3 // it does not wait for acks, and would starve the others
		}
		p := &linkedClient{client: &client{kind: kind, url: link.url(), pace: pace, checker: g.checker}, link: link}
		g.linked = append(g.linked, p)
		g.add(p.client)
	}
	return g
}

// slowRecovery is a time until the count continues that needs an explanation.
const slowRecovery = 5 * time.Second

func lastLines(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n-1):], "")
}

// round causes faults, repairs everything, and waits for the count to continue.
func (g *game) round(fault func()) {
	g.t.Helper()
	g.roundFaults = make(map[string]bool)
	for range g.faults {
		fault()
		g.pass(time.Duration(g.random.Int64N(int64(g.spacing))), nil)
	}
	g.repairDue(time.Time{})
	took := g.awaitCount(g.checker)
	if took > slowRecovery {
		g.t.Logf("the count continued %v after the repair of these faults:\n%s", took, strings.Join(g.log[max(0, len(g.log)-g.faults):], "\n"))
		if g.server != nil {
			g.t.Logf("the server's log ends with\n%s", lastLines(g.server.Output(), 20))
		}
	}
	for what := range g.roundFaults {
		g.tallies[what].longest = max(g.tallies[what].longest, took)
	}
}

// fault causes one fault.
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
		g.server = g.deployment.GoServer(g.t)
	case n < 7:
		g.note("server", "frozen for up to 2 s")
		g.server.Freeze()
		g.pass(time.Duration(g.random.IntN(2000))*time.Millisecond, nil)
		g.server.Thaw()
	default:
		g.clientFault()
	}
}

// clientFault causes one fault of a client, or of its link.
func (g *game) clientFault() {
	p := g.linked[g.random.IntN(len(g.linked))]
	switch n := g.random.IntN(13); {
	case n < 5:
		g.note(p.name(), "killed")
		g.killClient(p.client)
	case n < 6 && p.kind == harness.Go && !p.Ended() && p.Output() != "": // it has started, and handles signals
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
		fault := linkFaults[g.random.IntN(len(linkFaults))]
		links := []*linkedClient{p}
		which := "one link"
		if g.random.IntN(4) == 0 {
			links, which = g.linked, "all links"
		}
		g.note(which, fault.name)
		for _, p := range links {
			p.link.repair()
			fault.cause(p.link, g.random)
			g.later(time.Duration(g.random.IntN(3000))*time.Millisecond, p.link.repair)
		}
	}
}

func (p *linkedClient) name() string { return string(p.kind) + " client" }

func (g *game) note(who, what string) {
	g.times++
	g.log = append(g.log, fmt.Sprintf("%8.3f s: %s: %s, at %d", time.Since(g.began).Seconds(), who, what, g.checker.counted()))
	key := who + ": " + what
	g.roundFaults[key] = true
	if g.tallies[key] == nil {
		g.tallies[key] = new(tally)
	}
	g.tallies[key].times++
}

// later repairs a fault after that time, or when the round ends.
func (g *game) later(after time.Duration, do func()) {
	g.repairs = append(g.repairs, repair{time.Now().Add(after), do})
}

// repairDue does the repairs that are due, and all of them if now is the zero time.
func (g *game) repairDue(now time.Time) {
	g.repairs = slices.DeleteFunc(g.repairs, func(r repair) bool {
		due := now.IsZero() || now.After(r.at)
		if due {
			r.do()
		}
		return due
	})
}

// report writes the rows of the table: the faults, and their effect.
func (g *game) report(table *results.Table, name, total string) {
	for _, what := range sorted(g.tallies) {
		table.Row(name, what, g.tallies[what].times, g.tallies[what].longest.Round(10*time.Millisecond))
	}
	table.Row(name, total, g.times, g.longest.Round(10*time.Millisecond))
}

// end terminates all programs.
func (g *game) end() {
	g.killClients()
	g.server.Terminate()
	if code := g.server.WaitEnd(); code != 0 {
		g.t.Errorf("the server ended with exit code %d", code)
	}
	g.checker.end()
}
