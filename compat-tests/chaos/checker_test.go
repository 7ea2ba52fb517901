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

	"counting/compat-tests/subject"
	"counting/server/numbersfile"
	"counting/server/spelling"
)

// A checker reads numbers.txt the whole time.
type checker struct {
	t    *testing.T
	path string
	stop func()
	done sync.WaitGroup

	mu    sync.Mutex
	lines int64 // whole lines seen, all of them good
	bytes int64 // their length
	looks int
	acked int64 // the greatest number of which a client had the ack
}

func check(t *testing.T, path string) *checker {
	stopped := make(chan struct{})
	c := &checker{t: t, path: path, stop: sync.OnceFunc(func() { close(stopped) })}
	t.Cleanup(func() { // if the test ends before
		c.stop()
		c.done.Wait()
	})
	c.done.Go(func() {
		for {
			c.look()
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

// look holds what is new in the file to the one rule: nothing that was there is
// gone, and what is new goes on from there. The last line may be on its way.
// Now and then the whole file is read again.
func (c *checker) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.looks++; c.looks%200 == 0 && c.lines > 0 {
		lines, bad, err := numbersfile.Verify(c.path)
		if err != nil || lines < c.lines || bad != nil && bad.Line <= c.lines {
			c.t.Errorf("of %d lines %d are there: %v, %v", c.lines, lines, bad, err)
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

// isIn holds the file to having a number that was acked.
func (c *checker) isIn(acked int64, client *subject.Program) {
	c.mu.Lock()
	known := acked <= c.acked
	c.acked = max(c.acked, acked)
	c.mu.Unlock()
	if known {
		return
	}
	c.look()
	if lines := c.counted(); acked > lines {
		c.t.Errorf("%s had an ack for %d, and the file ends with %d", client, acked, lines)
	}
}

// end ends the checker, and reads the whole file again. All programs have ended.
func (c *checker) end() {
	c.t.Helper()
	c.stop()
	c.done.Wait()
	c.look()
	lines, bad, err := numbersfile.Verify(c.path)
	if bad != nil || err != nil || lines != c.lines || lines == 0 {
		c.t.Errorf("%s has %d lines in the end, and the checker saw %d: %v, %v", c.path, lines, c.lines, bad, err)
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
