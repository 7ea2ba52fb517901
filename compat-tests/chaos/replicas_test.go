package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/compat-tests/results"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	replicas = 3
	// shortFaults is how many faults there are if it is not a soak.
	shortFaults = 16
	// checkInterval is the time between checks of numbers.txt on a server.
	checkInterval = 50 * time.Millisecond
)

// Three servers on three members of etcd, each a process, behind a load balancer, while
// any of them is killed, terminated or frozen, and any connection between them is cut.
// Every number that was acked is kept, no number is acked to two clients, and
// numbers.txt never shrinks, whichever server is asked.
func TestReplicasSurviveChaos(t *testing.T) {
	t.Parallel()
	games := []struct {
		name    string
		share   int // of the faults, in percent
		clients []harness.Kind
	}{
		{"three Go clients", 50, []harness.Kind{harness.Go, harness.Go, harness.Go}},
		{"two Go, two Python clients", 50, []harness.Kind{harness.Go, harness.Python, harness.Go, harness.Python}},
	}
	seed, most := rand.Uint64(), int(fromEnvironment(t, soakVariable, shortFaults))
	seed = fromEnvironment(t, seedVariable, seed)
	t.Logf("to repeat this run: %s=%d", seedVariable, seed)
	table := results.New(t, "replicas", "game", "fault", "times", "longest time until the count continued")
	for i, game := range games {
		t.Run(game.name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range game.clients {
				kind.Need(t)
			}
			g := newReplicated(t, rand.New(rand.NewPCG(seed, uint64(i))), game.clients)
			for g.times < most*game.share/100 && !t.Failed() {
				g.round(g.fault)
			}
			if t.Failed() {
				g.dump()
				return
			}
			g.end()
			g.report(table, game.name, fmt.Sprintf("**total: the owner changed %d times, %d numbers acked, no violation in %d checks of %d lines; seed %d**",
				g.epoch()-1, len(g.checker.acks), g.checker.checks, g.checker.lines, seed))
		})
	}
}

// replicated is a game on several servers and several members of etcd.
type replicated struct {
	*game
	servers []*replica
	members []*harness.EtcdMember
	network *peers
	etcd    *clientv3.Client
}

// replica is a server, which is restarted in the same deployment. It has a link to each
// member of etcd.
type replica struct {
	*harness.Server
	deployment harness.Deployment
	args       []string
	links      []*link
}

func newReplicated(t *testing.T, random *rand.Rand, clients []harness.Kind) *replicated {
	g := &replicated{network: new(peers)}
	g.members = harness.NewEtcd(t, replicas, func(_ int, peer string) string { return g.network.add(t, peer) })
	for _, m := range g.members {
		m.Start(t)
	}
	g.connect(t)
	var addresses []string
	var readers []reader
	for i := range replicas {
		r := &replica{deployment: harness.NewDeployment(t)}
		var ways []string
		for _, m := range g.members {
			l := newLink(t, m.Client)
			r.links, ways = append(r.links, l), append(ways, l.proxy.Listen)
		}
		r.args = []string{"-store", "etcd://" + strings.Join(ways, ",") + "/chaos", "-store-name", fmt.Sprintf("server%d", i), "-heartbeat", "2s/3s"}
		r.Server = r.deployment.GoServer(t, r.args...)
		g.servers = append(g.servers, r)
		addresses, readers = append(addresses, "127.0.0.1:"+r.deployment.Port), append(readers, pageReader(r.URL))
	}
	balancer := harness.Balance(t, func() []string { return addresses })
	g.game = newGame(t, &run{t: t, random: random}, checkAll(t, "numbers.txt", checkInterval, readers...), balancer, clients)
	g.faults, g.spacing = 4, 2*time.Second // a game changes its owner within about 3 s
	g.meanwhile = func(now time.Time) {
		g.repairDue(now)
		g.allRun()
	}
	return g
}

// allRun checks that no server and no member of etcd has ended unexpectedly.
func (g *replicated) allRun() {
	g.t.Helper()
	for _, s := range g.servers {
		if s.Ended() {
			g.t.Fatalf("a server has ended unexpectedly:\n%s", s.Output())
		}
	}
	for _, m := range g.members {
		if m.Ended() {
			g.t.Fatalf("a member of etcd has ended unexpectedly:\n%s", m.Output())
		}
	}
}

// connect waits until etcd answers, and gets the ids of its members.
func (g *replicated) connect(t *testing.T) {
	t.Helper()
	var endpoints []string
	for _, m := range g.members {
		endpoints = append(endpoints, m.Client)
	}
	var err error
	if g.etcd, err = clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.etcd.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), recoveryTimeout)
	defer cancel()
	for {
		request, cancel := context.WithTimeout(ctx, time.Second)
		answer, err := g.etcd.MemberList(request)
		cancel()
		if err == nil {
			g.network.ids = make([]string, replicas)
			for _, m := range answer.Members {
				if i, err := strconv.Atoi(strings.TrimPrefix(m.Name, "etcd")); err == nil { // or else it has not started
					g.network.ids[i] = strconv.FormatUint(m.ID, 16)
				}
			}
			if !slices.Contains(g.network.ids, "") {
				return
			}
		}
		if ctx.Err() != nil {
			t.Fatalf("etcd does not answer: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// fault causes one fault.
func (g *replicated) fault() {
	i, j := g.random.IntN(replicas), g.random.IntN(replicas)
	s, m := g.servers[i], g.members[j]
	span := time.Duration(g.random.IntN(4000)) * time.Millisecond
	switch n := g.random.IntN(26); {
	case n < 4:
		g.note("server", "killed")
		g.restart(i)
	case n < 5 && s.Output() != "": // it has started, and handles signals
		g.note("server", "SIGTERM")
		s.Thaw()
		s.Terminate()
		if code := s.WaitEnd(); code != 0 {
			g.t.Errorf("a server ended with exit code %d on SIGTERM", code)
		}
		g.restart(i)
	case n < 7:
		g.note("server", "frozen for up to 4 s")
		g.freeze(s.Program, span)
	case n < 10:
		g.note("etcd", "killed")
		g.restartMember(j)
	case n < 12:
		g.note("etcd", "frozen for up to 4 s")
		g.freeze(m.Program, span)
	case n < 14:
		if leader, owner := g.leader(), g.owner(); leader >= 0 && owner >= 0 {
			g.note("etcd's leader and the owner", "killed together")
			g.members[leader].Kill()
			g.restart(owner)
			g.restartMember(leader)
		} else {
			g.note("a server and a member of etcd", "killed")
			g.restart(i)
			g.restartMember(j)
		}
	case n < 16:
		g.note("etcd", "a member parted from the others for up to 4 s")
		g.later(span, g.network.part(j, (j+1)%replicas))
		g.later(span, g.network.part(j, (j+2)%replicas))
	case n < 17:
		g.note("etcd", "all members parted for up to 4 s")
		for a := range replicas {
			g.later(span, g.network.part(a, (a+1)%replicas))
		}
	case n < 19:
		fault := linkFaults[g.random.IntN(len(linkFaults))]
		g.note("a server's links to all of etcd", fault.name)
		for _, l := range s.links {
			g.causeOn(l, fault.cause, span)
		}
	case n < 20:
		fault := linkFaults[g.random.IntN(len(linkFaults))]
		g.note("a server's link to a member", fault.name)
		g.causeOn(s.links[j], fault.cause, span)
	default:
		g.clientFault()
	}
}

// restart kills a server, if it runs, and starts it again.
func (g *replicated) restart(i int) {
	s := g.servers[i]
	s.Kill()
	s.Server = s.deployment.StartGoServer(g.t, s.args...)
}

func (g *replicated) restartMember(i int) {
	g.members[i].Kill()
	g.members[i].Start(g.t)
}

func (g *replicated) freeze(p *harness.Program, span time.Duration) {
	p.Freeze()
	g.later(span, p.Thaw)
}

func (g *replicated) causeOn(l *link, cause func(*link, *rand.Rand), span time.Duration) {
	l.repair()
	cause(l, g.random)
	g.later(span, l.repair)
}

// dump logs what the servers are doing, and what etcd has.
func (g *replicated) dump() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := g.etcd.Put(ctx, "written", "by the test")
	g.t.Logf("etcd lets the test write: %v", err)
	for _, s := range g.servers {
		if response, err := http.Get(s.URL + "/metrics"); err == nil {
			text, _ := io.ReadAll(response.Body)
			response.Body.Close()
			for line := range strings.Lines(string(text)) {
				if strings.HasPrefix(line, "counting_store") {
					g.t.Log(s.URL, " ", strings.TrimSpace(line))
				}
			}
		}
	}
	g.t.Logf("etcd has epoch %d, its leader is %d; the owner is %d", g.epoch(), g.leader(), g.owner())
	for i, s := range g.servers {
		g.t.Logf("server %d:\n%s", i, s.Stacks())
	}
}

// leader returns the leader of etcd, or -1.
func (g *replicated) leader() int {
	for i, m := range g.members {
		ctx, cancel := context.WithTimeout(g.t.Context(), 300*time.Millisecond)
		status, err := g.etcd.Status(ctx, m.Client)
		cancel()
		if err == nil && status.Leader == status.Header.MemberId {
			return i
		}
	}
	return -1
}

// owner returns the server that owns the game, or -1.
func (g *replicated) owner() int {
	client := http.Client{Timeout: 300 * time.Millisecond}
	for i, s := range g.servers {
		response, err := client.Get(s.URL + "/metrics")
		if err != nil {
			continue
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if strings.Contains(string(text), "\ncounting_store_owned_games 1\n") {
			return i
		}
	}
	return -1
}

// end kills all clients, checks the text at each server, and terminates the servers.
func (g *replicated) end() {
	g.killClients()
	g.checker.end()
	if len(g.checker.acks) == 0 {
		g.t.Error("no client received an ack")
	}
	for _, s := range g.servers {
		s.Terminate()
		if code := s.WaitEnd(); code != 0 {
			g.t.Errorf("a server ended with exit code %d", code)
		}
	}
}

// epoch returns how many owners the game has had.
func (g *replicated) epoch() int {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), recoveryTimeout)
	defer cancel()
	found, err := g.etcd.Get(ctx, "chaos/games/")
	if err != nil || len(found.Kvs) == 0 {
		g.t.Fatalf("etcd does not have the game: %v", err)
	}
	var v struct{ Epoch int }
	if err := json.Unmarshal(found.Kvs[0].Value, &v); err != nil {
		g.t.Fatal(err)
	}
	return v.Epoch
}
