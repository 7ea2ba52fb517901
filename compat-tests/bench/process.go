package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"counting/compat-tests/freeport"
	"counting/server/spelling"
)

// starting measures the time from the start of the process, on an empty directory, until it
// is healthy.
func (b *bench) starting() error {
	took := make(series)
	for range 2*b.reps + 1 {
		for _, name := range b.measured(goServer, node, packages, bare, flask, threading) {
			data, err := os.MkdirTemp(b.dir, name)
			if err != nil {
				return err
			}
			d, err := b.startingOn(name, data, "/health")
			if err != nil {
				return err
			}
			took.add(name, d.Seconds())
		}
	}
	v := took.median()
	b.table.row("start to the first 200 on /health, empty directory", milliseconds, v, nil,
		v.below(100, " ms", 1e-3), v.against(flask, "Flask", true, 0.1))
	return nil
}

func (b *bench) startingOn(name, data, path string) (time.Duration, error) {
	s, err := b.candidate(name).launch(freeport.New(), data)
	if err != nil {
		return 0, err
	}
	defer s.kill()
	return s.await(path)
}

// kill measures the time from a kill -9 of the server, which is started again immediately,
// to the next line in the file.
func (b *bench) kill() error {
	if len(b.measured(goServer)) == 0 {
		return nil
	}
	goClient := []string{filepath.Join(b.bin, "client"), "-interval", "100ms", "-limit", "1000000"}
	took, err := b.kills(2*b.reps-1, goClient)
	if err != nil {
		return err
	}
	median, most := values{goServer: percentile(took, 50)}, values{goServer: percentile(took, 100)}
	b.table.row(fmt.Sprintf("kill -9 to the next line, Go clients at 100 ms, median of %d", len(took)), seconds, median, nil, median.below(1, " s", 1))
	b.table.row("the same, the longest", seconds, most, nil, most.below(1, " s", 1))
	if took, err = b.kills(b.reps, []string{b.python, filepath.Join("compat-tests", "original", "client.py")}); err != nil {
		return err
	}
	b.table.row(fmt.Sprintf("the same, Python clients, which reconnect after 0.5 s to 1.5 s: median of %d", len(took)), seconds,
		values{goServer: percentile(took, 50)}, nil)
	return nil
}

func (b *bench) kills(times int, client []string) (took []float64, err error) {
	s, err := b.start(goServer)
	if err != nil {
		return nil, err
	}
	defer func() { s.kill() }()
	for range 2 {
		cmd := exec.Command(client[0], client[1:]...)
		cmd.Env = append(os.Environ(), "SERVER_URL=http://"+s.addr, "COUNT_SLEEP=0.05", "STEP_SLEEP=0.025", "LIMIT=1000000")
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		defer func() { cmd.Process.Signal(syscall.SIGKILL); cmd.Wait() }()
	}
	path := filepath.Join(s.data, "numbers.txt")
	for range times {
		if err := grown(path, 1000); err != nil {
			return nil, err
		}
		began := time.Now()
		s.kill()
		if s, err = s.launch(s.addr[len("127.0.0.1:"):], s.data); err != nil {
			return nil, err
		}
		if err := grown(path, 1); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began).Seconds())
	}
	return took, verify(filepath.Join(b.bin, "server"), path, 1)
}

// grown waits until the file has that many more bytes.
func grown(path string, bytes int64) error {
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	from := size()
	for began := time.Now(); time.Since(began) < timeout; time.Sleep(time.Millisecond) {
		if size() >= from+bytes {
			return nil
		}
	}
	return fmt.Errorf("%s has not grown by %d bytes in %v", path, bytes, timeout)
}

// spelling measures the package spelling.
func (b *bench) spelling() error {
	var last string // escapes, as in the server
	result := testing.Benchmark(func(tb *testing.B) {
		for i := range tb.N {
			last = spelling.Spell(int64(i%2000 + 1))
		}
	})
	if last == "" {
		return errors.New("a number has no spelling")
	}
	ns := float64(result.T.Nanoseconds()) / float64(result.N)
	b.table.row("spelling a number from 1 to 2000", func(v float64) string { return figure(v) + " ns" }, values{goServer: ns}, nil,
		[]bound{{float64(result.MemAllocs) / float64(result.N), " allocations", true, 1, ""}})
	return nil
}
