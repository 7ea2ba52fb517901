package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"counting/server/spelling"
)

// A Kind is a kind of client.
type Kind string

// The kinds of clients.
const (
	Go         Kind = "Go"
	Python     Kind = "Python"
	JavaScript Kind = "JavaScript"
)

// Kinds are all kinds of clients.
var Kinds = []Kind{Go, Python, JavaScript}

// Need skips the test if WITHOUT names the program that runs such clients.
// Call it before anything is started.
func (k Kind) Need(t testing.TB) {
	t.Helper()
	switch k {
	case Python:
		Need(t, PythonProgram)
	case JavaScript:
		Need(t, NodeProgram)
	}
}

// Start starts a client of that kind. It connects to the server at the URL, sends a
// number each interval, and leaves after the limit. More environment variables can
// be given as "NAME=value".
func (k Kind) Start(t testing.TB, url string, interval time.Duration, limit int, env ...string) *Program {
	t.Helper()
	var cmd *exec.Cmd
	count, step := interval, time.Duration(0)
	switch k {
	case Go:
		cmd = client.command(t)
	case Python:
		cmd = exec.Command(PythonPath(t), original("client.py"))
		// It takes two steps between two of its numbers.
		step = interval / 3
		count -= 2 * step
	case JavaScript:
		cmd = exec.Command(node(t), filepath.Join(javascript, "client.js"))
	}
	cmd.Env = append(cmd.Environ(), "SERVER_URL="+url, "LIMIT="+strconv.Itoa(limit),
		"INTERVAL="+interval.String(), "COUNT_SLEEP="+seconds(count), "STEP_SLEEP="+seconds(step))
	cmd.Env = append(cmd.Env, env...)
	return start(t, fmt.Sprintf("the %s client", k), cmd)
}

var printed = regexp.MustCompile(`(?m)^client[12] counting: (.+)$|^.+$`)

// Acked returns the greatest number whose ack a Go client is known to have received:
// within a session it sends its next number only then.
func (p *Program) Acked() (acked int64) {
	for _, n := range p.AllAcked() {
		acked = max(acked, n)
	}
	return acked
}

// AllAcked returns the numbers of which a Go client is known to have had the ack:
// within a session it sends the next one only then.
func (p *Program) AllAcked() (acked []int64) {
	output := p.Output()
	output = output[:strings.LastIndexByte(output, '\n')+1]
	var last int64
	for _, m := range printed.FindAllStringSubmatch(output, -1) {
		n, isNumber := spelling.Parse(m[1])
		if isNumber && last > 0 && n == last+2 {
			acked = append(acked, last)
		}
		last = n // 0 after a line that says anything else
	}
	return acked
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

var javascript = filepath.Join(filepath.Dir(original("")), "javascript")

// node returns the path of Node.js. The test fails if Node.js or the official client
// is missing.
func node(t testing.TB) string {
	t.Helper()
	Need(t, NodeProgram)
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("Node.js, which runs the official JavaScript client, is missing: install node 18 or later, or run compat-tests/setup")
	}
	if _, err := os.Stat(filepath.Join(javascript, "node_modules", "socket.io-client")); err != nil {
		t.Fatal("the official JavaScript client is not installed: run compat-tests/setup, which does npm ci in compat-tests/javascript")
	}
	return node
}
