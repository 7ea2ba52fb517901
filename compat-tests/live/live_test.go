// Package live lets real servers and real clients of every kind play with each
// other, and kills them.
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
	"counting/compat-tests/subject"
	"counting/server/numbersfile"
	"counting/server/protocol"
	"counting/server/spelling"
)

// More at once would only wait for a processor, Python clients for so long that
// they give up.
func TestMain(m *testing.M) { subject.MainAtOnce(m, 4) }

const (
	// interval is the time from one number of a client to its next, where
	// nothing else is said.
	interval = 30 * time.Millisecond
	// slow is for Python clients that lose their server: they step each 0.1 s,
	// as on the original. See tripped.
	slow = 300 * time.Millisecond
	// noLimit is a limit that no test reaches.
	noLimit = 1_000_000
	// patience is how long a test waits for what should come soon.
	patience = 60 * time.Second
)

// A game is what one test plays: a place, the servers that run there one after
// the other, and their clients.
type game struct {
	t     *testing.T
	place subject.Place
	url   string        // what clients are told
	pace  time.Duration // at which clients count
	*subject.Server
	clients []*subject.Program
}

// play returns a game without a server. Its clients are recorded, and at the end
// every event is held against asyncapi.yaml: one of the modes has to allow it.
func play(t *testing.T, modes ...contract.Mode) *game {
	t.Helper()
	g := unrecorded(t)
	recorder := subject.Record(t, g.url)
	g.url = recorder.URL
	t.Cleanup(func() { // before the recorder is killed
		events := 0
		for _, line := range recorder.End().Lines {
			if line.Packet == nil || line.Binary {
				continue
			}
			events++
			if err := allowed(modes, line.From, *line.Packet); err != nil {
				t.Errorf("line %d of what was recorded is not in asyncapi.yaml: %v", line.Number, err)
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

// unrecorded is play with nothing between the clients and the server: for what
// happens in the milliseconds in which a server dies or greets.
func unrecorded(t *testing.T) *game {
	t.Helper()
	place := subject.NewPlace(t)
	return &game{t: t, place: place, url: place.URL(), pace: interval}
}

// A kindOfServer is what a game can be played on.
type kindOfServer struct {
	name  string
	start func(*game)
	mode  contract.Mode
	// polls says that no client gets a WebSocket. A client that is killed then
	// keeps its seat until the heartbeat.
	polls bool
}

var (
	goServer = kindOfServer{"Go server", func(g *game) { g.Server = g.place.GoServer(g.t) }, contract.Default, false}
	flask    = kindOfServer{"Flask", func(g *game) { g.Server = g.place.Flask(g.t) }, contract.Faithful, false}

	// The original without eventlet serves no WebSocket, and a proxy that nobody
	// has told to does not pass one on.
	flaskThreading = kindOfServer{"Flask without eventlet",
		func(g *game) { g.Server = g.place.Flask(g.t, "ASYNC_MODE=threading") }, contract.Faithful, true}
	goServerBehindProxy = kindOfServer{"Go server behind a proxy without upgrade", func(g *game) {
		g.Server = g.place.GoServer(g.t)
		g.url = withoutUpgrade(g.t, g.url)
	}, contract.Default, true}
)

// need skips the test if it is to do without what the server or such clients
// are run by.
func (k kindOfServer) need(t *testing.T, clients ...subject.Kind) {
	t.Helper()
	if k.mode == contract.Faithful {
		subject.Need(t, subject.PythonProgram)
	}
	for _, kind := range clients {
		kind.Need(t)
	}
}

// withoutUpgrade returns the URL of a proxy that passes no upgrade on, as nginx
// with proxy_pass alone.
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

// join starts a client and waits until it has the seat, and it alone.
func (g *game) join(kind subject.Kind, seat protocol.Seat) *subject.Program {
	g.t.Helper()
	client := kind.Start(g.t, g.url, g.pace, noLimit)
	g.clients = append(g.clients, client)
	g.prints(client, "Assigned as "+seat.String()+",")
	return client
}

// prints waits until a program has printed something.
func (g *game) prints(p *subject.Program, text string) {
	g.t.Helper()
	if !p.Wait(func(output string) bool { return strings.Contains(output, text) }) {
		g.t.Fatalf("%s does not print %q", p, text)
	}
}

// until waits for a condition. The test ends if it does not come true.
func (g *game) until(what string, condition func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		for _, client := range g.clients {
			if strings.Contains(client.Output(), "Error: / is not a connected namespace.") {
				panic(tripped{g, client})
			}
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("waited %v in vain until %s\n%s", patience, what, g.tail())
		}
	}
}

// tripped is the panic of a game in which a Python client fell over its own
// threads. One that comes back to a server handles start_game and the "40"
// behind it in two of them; if its main thread steps in between, it sends a
// number too early and fails for good, with the original as with any server that
// speaks in the original's order. On a busy machine that is 1 return in some 100.
type tripped struct {
	*game
	client *subject.Program
}

// unlessTripped plays a game, and another one if a Python client trips, three in
// all.
func unlessTripped(t *testing.T, play func()) {
	t.Helper()
	const most = 3
	for n := 1; ; n++ {
		fallen := attempt(play)
		if fallen == nil {
			return
		}
		for _, client := range fallen.clients {
			client.Kill()
		}
		fallen.Kill()
		if n == most {
			t.Fatalf("in %d games out of %d a Python client fell over its own threads, the last time %s", n, n, fallen.client)
		}
		t.Logf("%s fell over its own threads; another game", fallen.client)
	}
}

func attempt(play func()) (fallen *tripped) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case tripped:
			fallen = &p
		default:
			panic(p)
		}
	}()
	play()
	return nil
}

// numbers are the lines of numbers.txt, of which there may be none yet.
func (g *game) numbers() []string {
	g.t.Helper()
	text, err := os.ReadFile(g.file())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		g.t.Fatal(err)
	}
	return slices.Collect(strings.Lines(string(text)))
}

func (g *game) file() string { return filepath.Join(g.place.Dir, numbersfile.Name) }

// tail is the end of numbers.txt.
func (g *game) tail() string {
	const most = 20
	lines := g.numbers()
	return "numbers.txt has " + strconv.Itoa(len(lines)) + " lines, at the end:\n" +
		strings.Join(lines[max(0, len(lines)-most):], "")
}

// grows waits for more lines in numbers.txt than there are.
func (g *game) grows(more int) {
	g.t.Helper()
	want := len(g.numbers()) + more
	g.until("numbers.txt has "+strconv.Itoa(want)+" lines", func() bool { return len(g.numbers()) >= want })
}

// unbroken holds numbers.txt to the one rule and returns how far it goes.
func (g *game) unbroken() int64 {
	g.t.Helper()
	lines, bad, err := numbersfile.Verify(g.file())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		g.t.Fatal(err)
	}
	if bad != nil {
		g.t.Fatalf("numbers.txt is not an unbroken count: %v\n%s", bad, g.tail())
	}
	return lines
}

// stops ends the Go server as Kubernetes does, and holds it to a clean end.
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

// assignments are the seats that a client says it was given, and its next
// numbers there.
func assignments(client *subject.Program) []protocol.Assignment {
	var all []protocol.Assignment
	for _, m := range assignedLine.FindAllStringSubmatch(client.Output(), -1) {
		all = append(all, protocol.Assignment{ClientID: m[1], LastNumber: protocol.Int(number(m[2]))})
	}
	return all
}

// counted are the numbers that a client says it counted.
func counted(client *subject.Program) []int64 {
	var all []int64
	for _, m := range countedLine.FindAllStringSubmatch(client.Output(), -1) {
		all = append(all, number(m[2]))
	}
	return all
}

// number reads a number in digits or in words. It is 0 if it is neither.
func number(text string) int64 {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	n, _ := spelling.Parse(text)
	return n
}

// spelled are the lines for the numbers from first on, step by step, as many as
// asked for.
func spelled(first, step int64, count int) []string {
	var lines []string
	for n := first; len(lines) < count; n += step {
		lines = append(lines, spelling.Spell(n)+"\n")
	}
	return lines
}
