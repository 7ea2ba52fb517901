//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"counting/compat-tests/lockedbuffer"
)

// childEnv makes the test binary act as a server.
const childEnv = "COUNTING_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is a server in its own process. Its standard output is read up to the address
// that it listens on, and not after that.
type child struct {
	*testServer
	cmd *exec.Cmd
}

func startChild(t *testing.T, args ...string) child {
	t.Helper()
	return startChildIn(t, t.TempDir(), args...)
}

func startChildIn(t *testing.T, data string, args ...string) child {
	t.Helper()
	c := child{&testServer{data: data}, exec.Command(os.Args[0], append([]string{"-addr", "127.0.0.1:0"}, args...)...)}
	c.cmd.Args = append(c.cmd.Args, "-data", c.data)
	c.cmd.Env = append(os.Environ(), childEnv+"=1")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stdout = w
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait()
		r.Close()
	})
	defer time.AfterFunc(timeout, func() { c.cmd.Process.Kill() }).Stop()
	lines := bufio.NewScanner(r)
	for c.url == "" && lines.Scan() {
		c.url = listening.FindString(lines.Text())
	}
	if c.url == "" {
		t.Fatal("the server does not log its address")
	}
	return c
}

// terminate stops the server, and returns its exit code and how long that took.
func (c child) terminate(t *testing.T) (code int, took time.Duration) {
	t.Helper()
	began := time.Now()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.cmd.Wait()
	return c.cmd.ProcessState.ExitCode(), time.Since(began)
}

// With a log that nobody read, the count stopped, new clients and /metrics hung, /health
// and /ready answered OK, and SIGTERM had no effect.
func TestAServerWhoseOutputIsNotReadCountsOnAndEnds(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			c := startChild(t, "-log-format", format, "-log-level", "debug")
			const games = 4
			for game := range games { // a game logs at most 5,000 numbers in a second
				lone := join(t, c.inGame(fmt.Sprint("game=lone", game)), assigned1, joined)
				for n := 1; n < 2*5000; n += 2 {
					lone.send(number("", "client1", n))
				}
			}
			a, b := joinTwo(t, c.testServer)
			const last, ahead = 12_000, 64
			counted := fmt.Sprintf("counting_last_number %d", last+games) // each of the games has "one"
			for n := 1; n <= last+ahead; n += 2 {
				if n <= last {
					a.send(number(fmt.Sprint(n), "client1", n))
					b.send(number(fmt.Sprint(n+1), "client2", n+1))
				}
				if due := n - ahead; due > 0 {
					a.expect(fmt.Sprintf("43%d[]", due))
					b.expect(fmt.Sprintf("43%d[]", due+1))
				}
			}
			b.conn.Close()
			a.expect(stopped)
			join(t, c.testServer, assigned2, started, joined) // a new client
			waitFor(t, "the metrics to have the last number", func() bool { return c.metric(t, counted) })
			if c.metric(t, "counting_log_lines_dropped_total 0") {
				t.Error("the metrics show that no log line was dropped")
			}
			code, took := c.terminate(t)
			if code != 0 {
				t.Errorf("it ended with exit code %d", code)
			}
			if took > 5*time.Second { // about a second, without the race detector and other jobs
				t.Errorf("it took %v to end", took)
			}
			if got := len(c.numbers(t)); got != last {
				t.Errorf("numbers.txt has %d lines, want %d", got, last)
			}
			t.Logf("it took %v to end", took)
		})
	}
}

// A disk that hangs, as simulated by a pipe that nobody reads, delayed the end after
// SIGTERM, and the queue for it filled the memory.
func TestAServerWhoseDiskHangsEnds(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(data, "numbers.txt"), 0o666); err != nil {
		t.Fatal(err)
	}
	c := startChildIn(t, data, "-faithful")
	a := join(t, c.testServer, assigned1, joined)
	for range 50_000 {
		a.send(number("", "client1", "1.5e300"))
	}
	join(t, c.testServer, assigned2, started, joined)
	waitFor(t, "lines to be refused", func() bool { return !c.metric(t, `counting_numbers_refused_total{reason="too_many_lines"} 0`) })
	code, took := c.terminate(t)
	if code != 0 {
		t.Errorf("it ended with exit code %d", code)
	}
	if took > 5*time.Second { // about a second, without the race detector and other jobs
		t.Errorf("it took %v to end", took)
	}
}

// An interrupted -verify is an error.
func TestVerifyingThatIsInterruptedFails(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := filepath.Join(t.TempDir(), "numbers.txt")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 1), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := run(ctx, []string{"-verify", file}, noEnv, new(lockedbuffer.Buffer)); err == nil {
		t.Error("no error")
	}
}
