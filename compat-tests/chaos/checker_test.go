package chaos

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/server/numbersfile"
	"counting/server/spelling"
)

// A reader reads numbers.txt.
type reader interface {
	// since returns the size of the text, and its bytes after the first from. The error
	// is errNoAnswer if the text is not available at the moment.
	since(from int64) (size int64, news []byte, err error)
}

var errNoAnswer = errors.New("no answer")

// fileReader reads the file at that path.
type fileReader string

func (f fileReader) since(from int64) (int64, []byte, error) {
	file, err := os.Open(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, nil, err
	}
	if info.Size() < from {
		return info.Size(), nil, nil
	}
	news, err := io.ReadAll(io.NewSectionReader(file, from, 1<<40))
	return max(info.Size(), from+int64(len(news))), news, err
}

// pageReader asks the server at that URL.
type pageReader string

var pages = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func (p pageReader) since(from int64) (size int64, news []byte, err error) {
	r, err := http.NewRequest(http.MethodGet, string(p)+"/numbers.txt", nil)
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	response, err := pages.Do(r)
	if err != nil {
		return 0, nil, errNoAnswer
	}
	defer response.Body.Close()
	if news, err = io.ReadAll(response.Body); err != nil {
		return 0, nil, errNoAnswer // its server ended meanwhile
	}
	_, total, _ := strings.Cut(response.Header.Get("Content-Range"), "/")
	switch response.StatusCode {
	case http.StatusOK: // the text is empty
		return int64(len(news)), nil, nil
	case http.StatusPartialContent:
	case http.StatusRequestedRangeNotSatisfiable:
		news = nil
	case http.StatusServiceUnavailable, http.StatusBadGateway:
		return 0, nil, errNoAnswer
	default:
		return 0, nil, fmt.Errorf("numbers.txt: the answer is %s: %.200s", response.Status, news)
	}
	size, err = strconv.ParseInt(total, 10, 64)
	return size, news, err
}

// A checker checks numbers.txt again and again.
type checker struct {
	t       *testing.T
	name    string
	readers []reader
	stop    func()
	done    sync.WaitGroup

	mu     sync.Mutex
	lines  int64 // complete lines seen, all of them correct
	bytes  int64 // their length
	checks int
	acked  int64                      // the greatest number whose ack a client received
	acks   map[int64]*harness.Program // the client that received each ack
}

// check starts a checker of a file.
func check(t *testing.T, path string) *checker {
	return checkAll(t, path, 5*time.Millisecond, fileReader(path))
}

// checkAll starts a checker that uses each of the readers once per interval.
func checkAll(t *testing.T, name string, interval time.Duration, readers ...reader) *checker {
	stopped := make(chan struct{})
	c := &checker{t: t, name: name, readers: readers, acks: make(map[int64]*harness.Program), stop: sync.OnceFunc(func() { close(stopped) })}
	t.Cleanup(func() { // if the test fails
		c.stop()
		c.done.Wait()
	})
	for _, r := range readers {
		c.done.Go(func() {
			for {
				c.check(r)
				select {
				case <-stopped:
					return
				case <-time.After(interval):
				}
			}
		})
	}
	return c
}

// counted returns how many lines there are.
func (c *checker) counted() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines
}

// check checks that a reader gets every line that any reader got before and every number
// that was acked, and that its new lines continue the count. The last line may be
// incomplete. Every 200th time the whole text is read. It reports false if there was no
// answer.
func (c *checker) check(r reader) bool {
	c.mu.Lock()
	c.checks++
	whole := c.checks%200 == 0
	lines, bytes, acked := c.lines, c.bytes, c.acked
	c.mu.Unlock()
	known := lines
	if whole {
		lines, bytes = 0, 0
	}
	size, news, err := r.since(bytes)
	switch {
	case errors.Is(err, errNoAnswer):
		return false
	case err != nil:
		c.t.Errorf("%v: %v", r, err)
		return false
	case size < bytes:
		c.t.Errorf("%v has shrunk: it had %d lines in %d bytes, and has %d bytes", r, lines, bytes, size)
		return false
	}
	for line := range strings.Lines(string(news)) {
		want := spelling.Spell(lines+1) + "\n"
		if !strings.HasPrefix(want, line) {
			c.t.Errorf("line %d of %v is %q, want %q", lines+1, r, line, want)
			return false
		}
		if line == want {
			lines, bytes = lines+1, bytes+int64(len(want))
		}
	}
	if lines < known || lines < acked {
		c.t.Errorf("%v has %d lines; it had %d before, and %d was acked", r, lines, known, acked)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if lines > c.lines {
		c.lines, c.bytes = lines, bytes
	}
	return true
}

// isIn checks that numbers.txt has the numbers that were acked to a client, and that no
// other client received their acks, which would mean that a seat was assigned twice.
func (c *checker) isIn(acked []int64, client *harness.Program) {
	c.mu.Lock()
	for _, n := range acked {
		c.acked = max(c.acked, n)
		if other := c.acks[n]; other != nil && other != client {
			c.t.Errorf("%d was acked to two clients:\n%s\n%s", n, other.Output(), client.Output())
		}
		c.acks[n] = client
	}
	c.mu.Unlock()
	if len(acked) > 0 && len(c.readers) == 1 {
		c.check(c.readers[0])
	}
}

// end stops the checker and reads the whole text again from each reader. All clients
// have ended, and the readers answer within recoveryTimeout.
func (c *checker) end() {
	c.t.Helper()
	c.stop()
	c.done.Wait()
	for _, r := range c.readers {
		for deadline := time.Now().Add(recoveryTimeout); !c.check(r); time.Sleep(100 * time.Millisecond) {
			if c.t.Failed() || time.Now().After(deadline) {
				c.t.Errorf("%v does not answer at the end", r)
				return
			}
		}
	}
	if c.counted() == 0 {
		c.t.Error("nothing was counted")
	}
	for _, r := range c.readers {
		path, isFile := r.(fileReader)
		if !isFile {
			_, text, err := r.since(0)
			path = fileReader(c.t.TempDir() + "/" + numbersfile.Name)
			if err == nil {
				err = os.WriteFile(string(path), text, 0o666)
			}
			if err != nil {
				c.t.Errorf("%v: %v", r, err)
				return
			}
		}
		lines, bad, err := numbersfile.Verify(string(path))
		if bad != nil || err != nil || lines != c.counted() {
			c.t.Errorf("%v has %d lines at the end, and the checker saw %d: %v, %v", r, lines, c.counted(), bad, err)
		}
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
