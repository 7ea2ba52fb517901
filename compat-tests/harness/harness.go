// Package harness starts what the compatibility tests run against, the original's
// stand-in in Python, the Go server and clients of all kinds, and has the helpers that
// the tests share. Whatever it starts ends with the test that started it.
package harness

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"counting/compat-tests/lockedbuffer"
	"counting/compat-tests/siotape/replay"
)

// startTimeout is how long a program may take to start, or to end, on a busy machine.
const startTimeout = 3 * time.Minute

// starting bounds how many Python servers start at the same time. Each takes a second
// of processor time, so that more of them would only wait for each other.
var starting = make(chan struct{}, 3)

// standing bounds how many pairs of servers Standby runs at the same time: built with
// the race detector, each server takes much memory.
var standing = make(chan struct{}, 16)

// A Program is a running process whose output is kept.
type Program struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	out  lockedbuffer.Buffer
	done chan struct{} // closed when the process has ended
}

// A Server is a running server with its data directory.
type Server struct {
	*Program
	URL string
	Dir string // where numbers.txt is
}

// Numbers returns the lines of the server's numbers.txt.
func (s *Server) Numbers() ([]string, error) {
	return replay.ReadLines(filepath.Join(s.Dir, "numbers.txt"))
}

// Flask starts the original's stand-in on an empty data directory and waits until it
// serves. More environment variables can be given as "NAME=value".
func Flask(t testing.TB, env ...string) *Server {
	t.Helper()
	return NewDeployment(t).Flask(t, env...)
}

// GoServer starts the Go server on an empty data directory and waits until it
// listens. The arguments follow -addr and -data.
func GoServer(t testing.TB, args ...string) *Server {
	t.Helper()
	return startServer(t, server, t.TempDir(), "0", args)
}

// Soak reports whether tests are run at full length, as make soak does.
func Soak() bool { return os.Getenv("SOAK") != "" }

// Standby starts two Go servers on one empty data directory, and waits until the
// second is a standby, which forwards all requests to the first. It returns the first,
// with the URL of the second.
func Standby(t testing.TB, args ...string) *Server {
	t.Helper()
	standing <- struct{}{}
	t.Cleanup(func() { <-standing })
	s := GoServer(t, args...)
	s.URL = s.Standby(t, args...).URL
	return s
}

// Standby starts another Go server on the data directory of this one, and waits until
// it is a standby of this one.
func (s *Server) Standby(t testing.TB, args ...string) *Server {
	t.Helper()
	return s.standby(t, server, args)
}

// ReleasedStandby is Standby for a ReleasedServer.
func (s *Server) ReleasedStandby(t testing.TB, args ...string) *Server {
	t.Helper()
	return s.standby(t, released, args)
}

func (s *Server) standby(t testing.TB, server *program, args []string) *Server {
	t.Helper()
	standby := startServer(t, server, s.Dir, "0", args)
	if !standby.waitFor("/ready") {
		t.Fatalf("the second Go server did not become a standby:\n%s", standby.Output())
	}
	return standby
}

// ReleasedServer starts the Go server as GoServer does, but built as it is released,
// without the race detector, so that its use of memory and time can be measured.
func ReleasedServer(t testing.TB, args ...string) *Server {
	t.Helper()
	return startServer(t, released, t.TempDir(), "0", args)
}

func startServer(t testing.TB, server *program, dir, port string, args []string) *Server {
	t.Helper()
	args = append([]string{"-addr", "127.0.0.1:" + port, "-data", dir}, args...)
	s := &Server{Program: start(t, "the Go server", server.command(t, args...)), Dir: dir}
	listening := regexp.MustCompile(`Listening on (http://\S+)`)
	if !s.Wait(func(output string) bool {
		m := listening.FindStringSubmatch(output)
		if m != nil {
			s.URL = m[1]
		}
		return m != nil
	}) {
		t.Fatalf("the Go server did not print its address:\n%s", s.Output())
	}
	return s
}

func start(t testing.TB, name string, cmd *exec.Cmd) *Program {
	t.Helper()
	p := &Program{t: t, name: name, cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill()
		p.report()
	})
	return p
}

// Output returns what the program has printed so far.
func (p *Program) Output() string { return p.out.String() }

// Wait waits until enough reports true for what the program has printed. It returns
// false if the program ends or startTimeout passes before that.
func (p *Program) Wait(enough func(output string) bool) bool {
	deadline := time.After(startTimeout)
	for !enough(p.Output()) {
		select {
		case <-p.done:
			return enough(p.Output())
		case <-deadline:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}

// Prints waits until the program prints the text, and ends the test if the program ends
// before that, or does not print it in time.
func (p *Program) Prints(t testing.TB, text string) {
	t.Helper()
	WaitFor(t, fmt.Sprintf("%s to print %q", p, text), func() bool {
		ended := p.Ended() // before its output is read, which is complete then
		printed := strings.Contains(p.Output(), text)
		if ended && !printed {
			t.Fatalf("%s has ended and has not printed %q:\n%s", p, text, p.Output())
		}
		return printed
	})
}

// waitFor waits until the server answers a GET of the path with 200.
func (s *Server) waitFor(path string) bool {
	client := http.Client{Timeout: time.Second}
	return s.Wait(func(string) bool {
		res, err := client.Get(s.URL + path)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// PythonPath returns the path of an interpreter that has the original's packages, which
// PYTHON may name.
func PythonPath(t testing.TB) string {
	t.Helper()
	Need(t, PythonProgram)
	path, err := interpreter()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var interpreter = sync.OnceValues(func() (string, error) {
	tried := []string{"/usr/bin/python3", "python3"}
	if python := os.Getenv("PYTHON"); python != "" {
		tried = []string{python}
	}
	var last []byte
	for _, python := range tried {
		cmd := exec.Command(python, "-c", "import eventlet, flask_socketio, num2words, requests, websocket")
		out, err := cmd.CombinedOutput()
		if err == nil {
			return python, nil
		}
		last = bytes.TrimSpace(out)
	}
	return "", fmt.Errorf("no Python has the original's packages (tried %s; %s).\n"+
		"On Debian: apt-get install python3-flask-socketio python3-eventlet python3-num2words python3-websocket python3-requests\n"+
		"Elsewhere: set PYTHON to an interpreter that has them, such as $(compat-tests/setup)", strings.Join(tried, ", "), last)
})

// buildDir is the environment variable that names the directory for built programs.
const buildDir = "COUNTING_HARNESS_DIR"

// Main runs the tests of a package, with a directory in which programs are built. Call
// it from TestMain.
func Main(m *testing.M) { MainAtOnce(m, 128) }

// MainAtOnce is Main with at most n parallel tests at the same time, unless -parallel is
// given. The 128 of Main suit tests that mostly wait for servers, some of them for more
// than a minute, and use little processor time.
func MainAtOnce(m *testing.M, n int) {
	dir, err := os.MkdirTemp("", "counting-harness-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv(buildDir, dir)
	atOnce(n)
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func atOnce(n int) {
	flag.Parse()
	given := flag.Lookup("test.fuzz").Value.String() != "" // it is also the number of fuzz workers
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(n))
	}
}

func original(file string) string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "original", file)
}
