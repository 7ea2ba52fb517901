package subject

import (
	"path/filepath"
	"regexp"
	"testing"

	"counting/compat-tests/siotape/tape"
)

// A Place is where one server runs after the other: a data directory and a
// port.
type Place struct {
	Dir  string
	Port string
}

// NewPlace returns a place with an empty data directory.
func NewPlace(t testing.TB) Place {
	t.Helper()
	return Place{t.TempDir(), freePort()}
}

// URL is what clients are told.
func (p Place) URL() string { return "http://127.0.0.1:" + p.Port }

// Flask starts the original's stand-in there and waits until it serves. More of
// its environment can be given as "NAME=value".
func (p Place) Flask(t testing.TB, env ...string) *Server {
	t.Helper()
	s := flask(t, p.Dir, p.Port, env)
	if s == nil {
		t.FailNow()
	}
	return s
}

// GoServer starts the Go server there and waits until it listens.
func (p Place) GoServer(t testing.TB, args ...string) *Server {
	t.Helper()
	return goServer(t, p.Dir, p.Port, args)
}

// StartGoServer starts the Go server there, and does not wait until it listens.
func (p Place) StartGoServer(t testing.TB, args ...string) *Server {
	t.Helper()
	args = append([]string{"-addr", "127.0.0.1:" + p.Port, "-data", p.Dir}, args...)
	return &Server{Program: start(t, "the Go server", server.command(t, args...)), URL: p.URL(), Dir: p.Dir}
}

// GoServerThatFails starts the Go server there, which is to end by itself.
func (p Place) GoServerThatFails(t testing.TB) *Program {
	t.Helper()
	return start(t, "the Go server", server.command(t, "-addr", "127.0.0.1:"+p.Port, "-data", p.Dir))
}

// A Recorder stands between clients and a server.
type Recorder struct {
	*Program
	URL string // for clients
	out string
}

// Record starts a recorder in front of a server, which may be there later.
func Record(t testing.TB, target string) *Recorder {
	t.Helper()
	r := &Recorder{out: filepath.Join(t.TempDir(), "session.jsonl")}
	r.Program = start(t, "the recorder", siotape.command(t, "record", "-target", target, "-listen", "127.0.0.1:0", "-out", r.out))
	listening := regexp.MustCompile(`on (http://\S+)`)
	if !r.Wait(func(output string) bool {
		m := listening.FindStringSubmatch(output)
		if m != nil {
			r.URL = m[1]
		}
		return m != nil
	}) {
		t.Fatalf("the recorder did not say where it listens:\n%s", r.Output())
	}
	return r
}

// End ends the recording and returns it.
func (r *Recorder) End() *tape.Recording {
	r.t.Helper()
	r.Terminate()
	recorded, err := tape.ReadFile(r.out)
	if err != nil {
		r.t.Fatal(err)
	}
	return recorded
}
