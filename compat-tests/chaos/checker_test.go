package chaos

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/server/numbersfile"
	"counting/server/spelling"
)

// A checker checks numbers.txt again and again.
type checker struct {
	t    *testing.T
	path string
	stop func()
	done sync.WaitGroup

	mu     sync.Mutex
	lines  int64 // complete lines seen, all of them correct
	bytes  int64 // their length
	checks int
	acked  int64 // the greatest number whose ack a client received
}

func check(t *testing.T, path string) *checker {
	stopped := make(chan struct{})
	c := &checker{t: t, path: path, stop: sync.OnceFunc(func() { close(stopped) })}
	t.Cleanup(func() { // if the test fails
		c.stop()
		c.done.Wait()
	})
	c.done.Go(func() {
		for {
			c.check()
			select {
			case <-stopped:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return c
}

// counted returns how many lines there are.
func (c *checker) counted() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines
}

// check checks that the file has not lost a line and that its new lines continue the
// count. The last line may be incomplete. Every 200th time the whole file is read.
func (c *checker) check() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.checks++; c.checks%200 == 0 && c.lines > 0 {
		lines, bad, err := numbersfile.Verify(c.path)
		if err != nil || lines < c.lines || bad != nil && bad.Line <= c.lines {
			c.t.Errorf("the file had %d lines and has %d: %v, %v", c.lines, lines, bad, err)
		}
	}
	file, err := os.Open(c.path)
	if errors.Is(err, fs.ErrNotExist) && c.lines == 0 {
		return
	}
	if err != nil {
		c.t.Error(err)
		return
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Size() < c.bytes {
		c.t.Errorf("the file has shrunk: there were %d lines in %d bytes, it has %v, %v", c.lines, c.bytes, info, err)
		return
	}
	news, err := io.ReadAll(io.NewSectionReader(file, c.bytes, 1<<40))
	if err != nil {
		c.t.Error(err)
		return
	}
	for line := range strings.Lines(string(news)) {
		want := spelling.Spell(c.lines+1) + "\n"
		if !strings.HasPrefix(want, line) {
			c.t.Errorf("line %d is %q, want %q", c.lines+1, line, want)
			return
		}
		if line == want {
			c.lines, c.bytes = c.lines+1, c.bytes+int64(len(want))
		}
	}
}

// isIn checks that the file has a number that was acked.
func (c *checker) isIn(acked int64, client *harness.Program) {
	c.mu.Lock()
	known := acked <= c.acked
	c.acked = max(c.acked, acked)
	c.mu.Unlock()
	if known {
		return
	}
	c.check()
	if lines := c.counted(); acked > lines {
		c.t.Errorf("%s had an ack for %d, and the file ends with %d", client, acked, lines)
	}
}

// end stops the checker and reads the whole file again. All programs have ended.
func (c *checker) end() {
	c.t.Helper()
	c.stop()
	c.done.Wait()
	c.check()
	lines, bad, err := numbersfile.Verify(c.path)
	if bad != nil || err != nil || lines != c.lines || lines == 0 {
		c.t.Errorf("%s has %d lines at the end, and the checker saw %d: %v, %v", c.path, lines, c.lines, bad, err)
	}
}

// sorted returns the keys of a map in order.
func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
