package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"counting/compat-tests/freeport"
	"counting/compat-tests/siotape/tape"
)

// A Deployment is a data directory and a port on which servers run, one after the
// other.
type Deployment struct {
	Dir  string
	Port string
}

// NewDeployment returns a deployment with an empty data directory.
func NewDeployment(t testing.TB) Deployment {
	t.Helper()
	return Deployment{t.TempDir(), freeport.New()}
}

// URL is the URL of the server, for clients.
func (d Deployment) URL() string { return "http://127.0.0.1:" + d.Port }

// Flask starts the original's stand-in and waits until it serves. More environment
// variables can be given as "NAME=value".
func (d Deployment) Flask(t testing.TB, env ...string) *Server {
	t.Helper()
	starting <- struct{}{}
	defer func() { <-starting }()
	cmd := exec.Command(PythonPath(t), original("server.py"))
	cmd.Env = append(os.Environ(), "HOST=127.0.0.1", "PORT="+d.Port, "DATA_DIR="+d.Dir,
		"EVENTLET_NO_GREENDNS=yes") // halves the time to start
	cmd.Env = append(cmd.Env, env...)
	s := &Server{Program: start(t, "the stand-in", cmd), URL: d.URL(), Dir: d.Dir}
	if !s.waitFor("/health") {
		t.Fatalf("the stand-in did not start:\n%s", s.Output())
	}
	return s
}

// GoServer starts the Go server and waits until it listens.
func (d Deployment) GoServer(t testing.TB, args ...string) *Server {
	t.Helper()
	return startServer(t, server, d.Dir, d.Port, args)
}

// StartGoServer starts the Go server there, and does not wait until it listens.
func (d Deployment) StartGoServer(t testing.TB, args ...string) *Server {
	t.Helper()
	args = append([]string{"-addr", "127.0.0.1:" + d.Port, "-data", d.Dir}, args...)
	return &Server{Program: start(t, "the Go server", server.command(t, args...)), URL: d.URL(), Dir: d.Dir}
}

// A Recorder is a running siotape record, a proxy between clients and a server.
type Recorder struct {
	*Program
	URL string // for clients
	out string
}

// Record starts a recorder in front of a server, which may be started later.
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
		t.Fatalf("the recorder did not print its address:\n%s", r.Output())
	}
	return r
}

// End stops the recorder and returns the recording.
func (r *Recorder) End() *tape.Recording {
	r.t.Helper()
	r.Terminate()
	recorded, err := tape.ReadFile(r.out)
	if err != nil {
		r.t.Fatal(err)
	}
	return recorded
}
