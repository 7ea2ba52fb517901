// Package live runs real clients of every kind against real servers, and kills them.
package live

import (
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/contract"
	"counting/compat-tests/harness"
	"counting/server/numbersfile"
	"counting/server/protocol"
	"counting/server/spelling"
)

// More tests at the same time would only wait for the processor, and Python clients
// would give up.
func TestMain(m *testing.M) { harness.MainAtOnce(m, 4) }

const (
	// interval is the time from one number of a client to its next, by default.
	interval = 30 * time.Millisecond
	// slow is the interval of Python clients that lose their server: they then take
	// a step each 0.1 s, as with the original. See clientRace.
	slow = 300 * time.Millisecond
	// noLimit is a limit that no test reaches.
	noLimit = 1_000_000
)

// A game is a deployment, the server that runs on it now, and its clients.
type game struct {
	t          *testing.T
	deployment harness.Deployment
	url        string        // for clients
	pace       time.Duration // interval of the clients
	*harness.Server
	clients []*harness.Program
}

// newGame returns a game without a server. Its clients are recorded, and at the end
// of the test every event is checked against asyncapi.yaml: one of the modes must allow
// it.
func newGame(t *testing.T, modes ...contract.Mode) *game {
	t.Helper()
	g := unrecorded(t)
	recorder := harness.Record(t, g.url)
	g.url = recorder.URL
	t.Cleanup(func() { // before the recorder is killed
		events := 0
		for _, line := range recorder.End().Lines {
			if line.Packet == nil || line.Binary {
				continue
			}
			events++
			if err := allowed(modes, line.From, *line.Packet); err != nil {
				t.Errorf("line %d of the recording does not conform to asyncapi.yaml: %v", line.Number, err)
			}
		}
		if events == 0 {
			t.Error("nothing was recorded")
		}
	})
	return g
}

func allowed(modes []contract.Mode, from, packet string) error {
	var all error
	for _, mode := range modes {
		err := mode.Check(from, packet)
		if err == nil {
			return nil
		}
		all = errors.Join(all, err)
	}
	return all
}

// unrecorded is newGame without a recorder between the clients and the server, for
// tests that depend on the milliseconds in which a server ends or greets a client.
func unrecorded(t *testing.T) *game {
	t.Helper()
	deployment := harness.NewDeployment(t)
	return &game{t: t, deployment: deployment, url: deployment.URL(), pace: interval}
}

// A kindOfServer is a server, and a way to reach it.
type kindOfServer struct {
	name  string
	start func(*game)
	mode  contract.Mode
	// polls reports whether clients can only poll. A client that is killed then
	// keeps its seat until the heartbeat times out.
	polls bool
}

var (
	goServer = kindOfServer{"Go server", func(g *game) { g.Server = g.deployment.GoServer(g.t) }, contract.Default, false}
	flask    = kindOfServer{"Flask", func(g *game) { g.Server = g.deployment.Flask(g.t) }, contract.Faithful, false}

	// The original without eventlet does not serve WebSocket, and many proxies do not
	// forward it by default.
	flaskThreading = kindOfServer{"Flask without eventlet",
		func(g *game) { g.Server = g.deployment.Flask(g.t, "ASYNC_MODE=threading") }, contract.Faithful, true}
	goServerBehindProxy = kindOfServer{"Go server behind a proxy without upgrade", func(g *game) {
		g.Server = g.deployment.GoServer(g.t)
		g.url = withoutUpgrade(g.t, g.url)
	}, contract.Default, true}
)

// need skips the test if WITHOUT names a program that the server or such clients need.
func (k kindOfServer) need(t *testing.T, clients ...harness.Kind) {
	t.Helper()
	if k.mode == contract.Faithful {
		harness.Need(t, harness.PythonProgram)
	}
	for _, kind := range clients {
		kind.Need(t)
	}
}

// withoutUpgrade returns the URL of a proxy that does not forward upgrades, as nginx
// with only proxy_pass.
func withoutUpgrade(t *testing.T, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Header.Del("Upgrade")
			r.Out.Header.Del("Connection")
		},
		ErrorLog: log.New(io.Discard, "", 0), // clients are killed
	})
	t.Cleanup(func() {
		proxy.CloseClientConnections()
		proxy.Close()
	})
	return proxy.URL
}

// join starts a client and waits until it is assigned the seat.
func (g *game) join(kind harness.Kind, seat protocol.Seat) *harness.Program {
	g.t.Helper()
	client := kind.Start(g.t, g.url, g.pace, noLimit)
	g.clients = append(g.clients, client)
	client.Prints(g.t, "Assigned as "+seat.String()+",")
	return client
}

// waitFor waits for a condition, and ends the test if it does not hold in time.
func (g *game) waitFor(what string, condition func() bool) {
	g.t.Helper()
	harness.WaitFor(g.t, what, func() bool {
		for _, client := range g.clients {
			if strings.Contains(client.Output(), "Error: / is not a connected namespace.") {
				panic(clientRace{g, client})
			}
		}
		return condition()
	})
}

// clientRace is the panic of a game in which a Python client failed by a race between
// its threads. When it reconnects it handles start_game and the "40" that follows in
// two threads; if its main thread runs between them, it sends a number too early and
// fails permanently, with the original as with any server that sends in the original's
// order. On a busy machine that is about 1 reconnection in 100.
type clientRace struct {
	*game
	client *harness.Program
}

// retryClientRace runs play, at most three times, until no clientRace occurs.
func retryClientRace(t *testing.T, play func()) {
	t.Helper()
	const most = 3
	for n := 1; ; n++ {
		race := attempt(play)
		if race == nil {
			return
		}
		for _, client := range race.clients {
			client.Kill()
		}
		race.Kill()
		if n == most {
			t.Fatalf("a Python client failed by a race of its threads in each of %d games, in the last one %s", n, race.client)
		}
		t.Logf("%s failed by a race of its threads; starting another game", race.client)
	}
}

func attempt(play func()) (race *clientRace) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case clientRace:
			race = &p
		default:
			panic(p)
		}
	}()
	play()
	return nil
}

// numbers returns the lines of numbers.txt, which may not exist yet.
func (g *game) numbers() []string {
	g.t.Helper()
	text, err := os.ReadFile(g.file())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		g.t.Fatal(err)
	}
	return slices.Collect(strings.Lines(string(text)))
}

func (g *game) file() string { return filepath.Join(g.deployment.Dir, numbersfile.Name) }

// tail returns the last lines of numbers.txt, for messages.
func (g *game) tail() string {
	const most = 20
	lines := g.numbers()
	return "numbers.txt has " + strconv.Itoa(len(lines)) + " lines, at the end:\n" +
		strings.Join(lines[max(0, len(lines)-most):], "")
}

// grows waits until numbers.txt has that many more lines.
func (g *game) grows(more int) {
	g.t.Helper()
	want := len(g.numbers()) + more
	g.waitFor(strconv.Itoa(want)+" lines in numbers.txt", func() bool { return len(g.numbers()) >= want })
}

// unbroken checks that the numbers.txt of a server that has ended is an unbroken count,
// and returns its length.
func (g *game) unbroken() int64 {
	g.t.Helper()
	return harness.CompleteLines(g.t, g.deployment.Dir)
}

// stops terminates the Go server, and checks its exit code.
func (g *game) stops() {
	g.t.Helper()
	g.Server.Terminate()
	if code := g.Server.WaitEnd(); code != 0 {
		g.t.Errorf("%s ended with exit code %d", g.Server, code)
	}
}

var (
	assignedLine = regexp.MustCompile(`(?m)^Assigned as (client[12]), resuming from (\d+)$`)
	countedLine  = regexp.MustCompile(`(?m)^(client[12]) counting: (.+)$`)
)

// assignments returns the seats and next numbers that a client has printed.
func assignments(client *harness.Program) []protocol.Assignment {
	var all []protocol.Assignment
	for _, m := range assignedLine.FindAllStringSubmatch(client.Output(), -1) {
		all = append(all, protocol.Assignment{ClientID: m[1], LastNumber: protocol.Int(number(m[2]))})
	}
	return all
}

// counted returns the numbers that a client has printed as counted.
func counted(client *harness.Program) []int64 {
	var all []int64
	for _, m := range countedLine.FindAllStringSubmatch(client.Output(), -1) {
		all = append(all, number(m[2]))
	}
	return all
}

// number parses a number in digits or in words, and returns 0 if it is neither.
func number(text string) int64 {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	n, _ := spelling.Parse(text)
	return n
}

// spelled returns count lines: the spellings of first, first+step, and so on.
func spelled(first, step int64, count int) []string {
	var lines []string
	for n := first; len(lines) < count; n += step {
		lines = append(lines, spelling.Spell(n)+"\n")
	}
	return lines
}
