package subject

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A program is one of this module, built once for each package's tests, with
// the race detector if they are, or as it is released.
type program struct {
	pkg   string // its import path
	build func() (string, error)
}

var (
	server   = newProgram("counting/server", raceFlag)
	client   = newProgram("counting/clients", raceFlag)
	siotape  = newProgram("counting/compat-tests/siotape", raceFlag)
	released = newProgram("counting/server", "-trimpath")
)

func newProgram(pkg, flag string) *program {
	p := &program{pkg: pkg}
	p.build = sync.OnceValues(func() (string, error) {
		binary := filepath.Join(os.Getenv(buildDir), filepath.Base(pkg)+flag)
		out, err := exec.Command("go", "build", flag, "-o", binary, pkg).CombinedOutput()
		return binary + string(out), err
	})
	return p
}

// command is a run of the program, which is built if need be.
func (p *program) command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	if os.Getenv(buildDir) == "" {
		t.Fatalf("nowhere to build %s: TestMain has to call subject.Main", p.pkg)
	}
	binary, err := p.build()
	if err != nil {
		t.Fatalf("building %s: %v\n%s", p.pkg, err, binary)
	}
	cmd := exec.Command(binary, args...)
	// The race detector would keep each program for a second at its end.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	if p == released {
		cmd.Env = append(cmd.Env, "GOMEMLIMIT=100MiB") // as in the manifests
	}
	return cmd
}

// Kill ends the program at once, as a machine that stops does, and waits until
// it is gone.
func (p *Program) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stacks ends the program, which must be one in Go, and returns what it printed from
// then on: what each of its goroutines was doing.
func (p *Program) Stacks() string {
	printed := len(p.Output())
	p.signal(syscall.SIGCONT)
	p.signal(syscall.SIGQUIT)
	p.WaitEnd()
	return p.Output()[printed:]
}

// Terminate asks the program to end, as Kubernetes does, and returns how long
// that took.
func (p *Program) Terminate() time.Duration {
	p.t.Helper()
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("%s was to end but had ended: %v", p.name, err)
	}
	p.WaitEnd()
	return time.Since(began)
}

// WaitEnd waits until the program has ended and returns its exit code, which is
// -1 if a signal ended it.
func (p *Program) WaitEnd() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s has not ended after %v", p.name, patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Ended tells whether the program has ended.
func (p *Program) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Freeze stops the program from running, and from answering, until it is
// thawed or killed.
func (p *Program) Freeze() { p.signal(syscall.SIGSTOP) }

// Thaw lets a frozen program go on.
func (p *Program) Thaw() { p.signal(syscall.SIGCONT) }

func (p *Program) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !p.Ended() {
		p.t.Fatalf("%s: %v: %v", p.name, s, err)
	}
}

// String is the program's name in what a test prints.
func (p *Program) String() string { return p.name }

// report shows the end of what an ended program printed if the test failed, or
// fails it for a data race.
func (p *Program) report() {
	const most = 60
	out := p.Output()
	if strings.Contains(out, "DATA RACE") {
		p.t.Errorf("%s has a data race:\n%s", p.name, out)
		return
	}
	if !p.t.Failed() {
		return
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	p.t.Logf("%s (%v) printed:\n%s", p.name, p.cmd.ProcessState, strings.Join(lines[max(0, len(lines)-most):], "\n"))
}

// Memory returns the program's resident memory in bytes. It needs /proc.
func (p *Program) Memory(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		t.Fatalf("%s has no memory that can be read: %v", p, err)
	}
	pages, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
