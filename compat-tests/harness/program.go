package harness

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

// A program is a command of this module. It is built once for the tests of a package:
// with the race detector if the tests are, or as it is released.
type program struct {
	pkg   string // import path
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

// command returns a command that runs the program, and builds it if necessary.
func (p *program) command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	if os.Getenv(buildDir) == "" {
		t.Fatalf("there is no directory to build %s in: TestMain must call harness.Main", p.pkg)
	}
	binary, err := p.build()
	if err != nil {
		t.Fatalf("building %s: %v\n%s", p.pkg, err, binary)
	}
	cmd := exec.Command(binary, args...)
	// By default the race detector delays the exit of each program by a second.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	if p == released {
		cmd.Env = append(cmd.Env, "GOMEMLIMIT=100MiB") // as in the manifests
	}
	return cmd
}

// Kill kills the program with SIGKILL and waits until it has ended.
func (p *Program) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stacks ends the program, which must be a Go program, and returns the stacks of its
// goroutines.
func (p *Program) Stacks() string {
	printed := len(p.Output())
	p.signal(syscall.SIGCONT)
	p.signal(syscall.SIGQUIT)
	p.WaitEnd()
	return p.Output()[printed:]
}

// Terminate sends SIGTERM, as Kubernetes does, waits until the program has ended, and
// returns how long that took.
func (p *Program) Terminate() time.Duration {
	p.t.Helper()
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("SIGTERM to %s, which has ended: %v", p.name, err)
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
	case <-time.After(startTimeout):
		p.t.Fatalf("%s has not ended after %v", p.name, startTimeout)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Ended reports whether the program has ended.
func (p *Program) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Freeze suspends the program with SIGSTOP until Thaw or Kill.
func (p *Program) Freeze() { p.signal(syscall.SIGSTOP) }

// Thaw resumes a frozen program.
func (p *Program) Thaw() { p.signal(syscall.SIGCONT) }

func (p *Program) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !p.Ended() {
		p.t.Fatalf("%s: %v: %v", p.name, s, err)
	}
}

// String returns the program's name for messages.
func (p *Program) String() string { return p.name }

// report fails the test if the program had a data race. If the test has failed, it logs
// the last lines that the program printed.
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
		t.Fatalf("reading the memory of %s: %v", p, err)
	}
	pages, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
