package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"counting/compat-tests/browser"
	"counting/compat-tests/harness"
)

// A tour runs the commands of TOUR.md in the root of the repository and then in bin/tour.
type tour struct {
	*testing.T
	path   string // with the python3 of the tests
	dir    string
	other  *exec.Cmd // the command in another terminal
	output *tail     // of the command whose output is compared next
}

// pieces matches the commands, outputs and marks of the page.
var pieces = regexp.MustCompile("(?ms)^```sh(.*?)\n(.*?)^```$|^```text\n(.*?)^```$|<!-- (Ctrl-C|browser) -->")

func TestTour(t *testing.T) {
	t.Parallel()
	needSamples(t)
	browser.Program(t)
	page, err := os.ReadFile("TOUR.md")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	wrapper := fmt.Sprintf("#!/bin/sh\nexec %s \"$@\"\n", harness.PythonPath(t))
	if err := os.WriteFile(filepath.Join(bin, "python3"), []byte(wrapper), 0o700); err != nil {
		t.Fatal(err)
	}
	tr := &tour{T: t, dir: root, path: bin + ":" + os.Getenv("PATH")}
	t.Cleanup(tr.end)
	if err := os.RemoveAll(filepath.Join(root, "bin", "tour")); err != nil {
		t.Fatal(err)
	}
	steps := 0
	for _, m := range pieces.FindAllStringSubmatch(string(page), -1) {
		note, commands, text, mark := strings.TrimSpace(m[1]), m[2], m[3], m[4]
		switch {
		case mark == "Ctrl-C":
			tr.interrupt()
		case mark == "browser":
			tr.browse()
		case text != "":
			tr.expect(text)
		case note == "in another terminal":
			tr.start(commands)
		default:
			tr.run(commands, note == "exits with 1")
			tr.dir = filepath.Join(root, "bin", "tour")
		}
		steps++
	}
	if steps < 20 {
		t.Errorf("only %d pieces of the page were found", steps)
	}
}

func (t *tour) command(ctx context.Context, commands string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-e", "-c", commands)
	cmd.Dir = t.dir
	cmd.Env = append(os.Environ(), "PATH="+t.path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	t.output = &tail{most: 1 << 20}
	cmd.Stdout, cmd.Stderr = t.output, t.output
	return cmd
}

func (t *tour) run(commands string, fails bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := t.command(ctx, commands)
	err := cmd.Run()
	if code := cmd.ProcessState.ExitCode(); fails && code != 1 || !fails && err != nil {
		t.Fatalf("%s\nexit code %d, %v:\n%s", commands, code, err, t.output)
	}
}

func (t *tour) start(commands string) {
	t.Helper()
	cmd := t.command(context.Background(), "exec "+commands)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.other = cmd
	t.await("Recording")
}

// await waits until the program in another terminal has printed a text.
func (t *tour) await(text string) {
	t.Helper()
	harness.WaitFor(t.T, text, func() bool { return strings.Contains(t.output.String(), text) })
}

// end ends the command in another terminal after a failure. It first sends SIGINT, so
// that siotape ends the server that it has started, which is in another process group.
func (t *tour) end() {
	if t.other == nil {
		return
	}
	_ = t.other.Process.Signal(syscall.SIGINT)
	kill := time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(-t.other.Process.Pid, syscall.SIGKILL) })
	defer kill.Stop()
	_ = t.other.Wait()
}

func (t *tour) interrupt() {
	t.Helper()
	out := t.other.Stdout.(*tail)
	if err := t.other.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := t.other.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.other, t.output = nil, out
}

// expect compares the output with the page, where … stands for any text.
func (t *tour) expect(text string) {
	t.Helper()
	rest := t.output.String()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		re := regexp.MustCompile(`(?m)^.*` + strings.ReplaceAll(regexp.QuoteMeta(line), "…", `.*`) + `.*$`)
		at := re.FindStringIndex(rest)
		if at == nil {
			t.Fatalf("the page has %q, which was not printed:\n%s", line, t.output)
		}
		rest = rest[at[1]:]
	}
}

func (t *tour) browse() {
	t.Helper()
	ctx, cancel := context.WithTimeout(browser.Start(t), 2*time.Minute)
	defer cancel()
	var said string
	err := chromedp.Run(ctx,
		chromedp.Navigate("http://localhost:7302/"),
		chromedp.WaitVisible("body.joined"),
		chromedp.Sleep(300*time.Millisecond),
		chromedp.SendKeys("input", "hello from a browser\n"),
		chromedp.WaitVisible("li:nth-child(2)"),
		chromedp.Text("li:nth-child(2)", &said),
		chromedp.Sleep(300*time.Millisecond),
	)
	if err != nil || said != "guest: hello from a browser" {
		t.Fatalf("the browser shows %q, %v", said, err)
	}
}
