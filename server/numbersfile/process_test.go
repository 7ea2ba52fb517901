package numbersfile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// childDir makes the test binary act as a server that counts in this directory.
const childDir = "NUMBERSFILE_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, countForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// countForEver counts until the process is killed, and prints each number that is
// reported as written.
func countForEver(dir string) error {
	f, err := Open(context.Background(), dir, Options{})
	if err != nil {
		return err
	}
	fmt.Println(f.Recovery().Last)
	r := start(f)
	n := f.Recovery().Last
	for {
		count(r.File, n+1, n+20)
		for upTo := n; upTo < n+20; {
			got := <-r.reports
			if got.written == 0 {
				return errors.New(got.state)
			}
			upTo = got.written
			fmt.Println(upTo)
		}
		n += 20
	}
}

// A child is such a server in its own process.
type child struct {
	*exec.Cmd
	said *bufio.Scanner
}

func startChild(t *testing.T, dir string) child {
	t.Helper()
	c := child{Cmd: exec.CommandContext(t.Context(), os.Args[0])}
	c.Env = append(os.Environ(), childDir+"="+dir)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.said = bufio.NewScanner(out)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// says returns the next number that the child prints.
func (c child) says(t *testing.T) int64 {
	t.Helper()
	if !c.said.Scan() {
		t.Fatal("the child says nothing more")
	}
	n, err := strconv.ParseInt(c.said.Text(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// kill kills the child and returns the last number that it printed, or 0.
func (c child) kill(t *testing.T) (last int64) {
	t.Helper()
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for c.said.Scan() {
		last, _ = strconv.ParseInt(c.said.Text(), 10, 64)
	}
	c.Wait()
	return last
}

func TestKilledAgainAndAgainTheCountGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	reported := int64(0)
	for range 8 {
		c := startChild(t, dir)
		if last := c.says(t); last < reported {
			t.Fatalf("%d was reported, and the next finds %d", reported, last)
		}
		for range 1 + rand.IntN(30) {
			reported = c.says(t)
		}
		reported = max(reported, c.kill(t))
	}
	lines, bad, err := Verify(filepath.Join(dir, Name))
	if err != nil || lines < reported || bad != nil && !bad.Torn {
		t.Errorf("%d lines, %v, %v, want at least %d", lines, bad, err, reported)
	}
}

func TestOneServerAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startChild(t, dir)
	c.says(t) // it is open
	_, err := Open(t.Context(), dir, Options{lockWait: 50 * time.Millisecond})
	if !errors.Is(err, ErrLocked) {
		t.Errorf("error is %v, want ErrLocked", err)
	}
	checkContains(t, err, "data directory "+dir+" is in use by another server; stop it or use another -data directory")

	opened := make(chan error, 1)
	go func() {
		f, err := Open(t.Context(), dir, Options{})
		if err == nil {
			err = f.Close(t.Context())
		}
		opened <- err
	}()
	c.kill(t)
	if err := <-opened; err != nil {
		t.Errorf("once it is killed: %v", err)
	}
}

func TestTheLockHoldsWithinAProcessAndForFaithfulServers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := mustOpen(t, dir, Options{Faithful: true})
	if _, err := Open(t.Context(), dir, Options{lockWait: time.Millisecond}); !errors.Is(err, ErrLocked) {
		t.Errorf("error is %v, want ErrLocked", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, dir, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that the context was cancelled", err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A process that another test starts shares the lock between fork and exec, so a
	// millisecond would be too short.
	mustOpen(t, dir, Options{})
}

func TestTheOriginalMayWriteOnceTheServerIsGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := mustOpen(t, dir, Options{})
	f.Append(1)
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := (faithful{filepath.Join(dir, Name), flock}).write([]byte("two\n"), nil); err != nil {
		t.Fatal(err)
	}
	if got := mustOpen(t, dir, Options{}).Recovery(); got.Last != 2 || got.Bad != nil {
		t.Errorf("it finds %v", got)
	}
}
