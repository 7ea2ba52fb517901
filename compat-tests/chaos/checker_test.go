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

	"counting/compat-tests/subject"
	"counting/server/numbersfile"
	"counting/server/spelling"
)

// A reader reads numbers.txt.
type reader interface {
	// since returns how long the text is, and what it has from that byte on. The error
	// is errNoAnswer if the text cannot be had at the moment.
	since(from int64) (size int64, news []byte, err error)
}

var errNoAnswer = errors.New("there is no answer")

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
		return 0, nil, fmt.Errorf("numbers.txt is answered with %s: %.200s", response.Status, news)
	}
	size, err = strconv.ParseInt(total, 10, 64)
	return size, news, err
}

// A checker reads numbers.txt the whole time.
type checker struct {
	t       *testing.T
	name    string
	readers []reader
	stop    func()
	done    sync.WaitGroup

	mu    sync.Mutex
	lines int64 // whole lines seen, all of them good
	bytes int64 // their length
	looks int
	acked int64                      // the greatest number of which a client had the ack
	acks  map[int64]*subject.Program // who had that of each
}

// check starts a checker of a file.
func check(t *testing.T, path string) *checker {
	return checkAll(t, path, 5*time.Millisecond, fileReader(path))
}

// checkAll starts a checker. Each of the readers is asked so often.
func checkAll(t *testing.T, name string, often time.Duration, readers ...reader) *checker {
	stopped := make(chan struct{})
	c := &checker{t: t, name: name, readers: readers, acks: make(map[int64]*subject.Program), stop: sync.OnceFunc(func() { close(stopped) })}
	t.Cleanup(func() { // if the test ends before
		c.stop()
		c.done.Wait()
	})
	for _, r := range readers {
		c.done.Go(func() {
			for {
				c.look(r)
				select {
				case <-stopped:
					return
				case <-time.After(often):
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

// look holds what a reader gets to the one rule: nothing that anybody has seen before
// is gone, nor a number of which a client had the ack, and what is new goes on from
// there. The last line may be on its way. Now and then the whole text is read again.
// It reports false if there was no answer.
func (c *checker) look(r reader) bool {
	c.mu.Lock()
	c.looks++
	whole := c.looks%200 == 0
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
		c.t.Errorf("%v has shrunk: there were %d lines in %d bytes, and now there are %d bytes", r, lines, bytes, size)
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
		c.t.Errorf("%v has %d lines; %d were there before, and a client had an ack for %d", r, lines, known, acked)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if lines > c.lines {
		c.lines, c.bytes = lines, bytes
	}
	return true
}

// isIn holds numbers.txt to having the numbers that were acked to a client, and each
// number to having been acked to one client: no seat was held twice.
func (c *checker) isIn(acked []int64, client *subject.Program) {
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
		c.look(c.readers[0])
	}
}

// end ends the checker, and reads everything again. No client runs any more; whoever
// answers for numbers.txt does so.
func (c *checker) end() {
	c.t.Helper()
	c.stop()
	c.done.Wait()
	for _, r := range c.readers {
		for deadline := time.Now().Add(alive); !c.look(r); time.Sleep(100 * time.Millisecond) {
			if c.t.Failed() || time.Now().After(deadline) {
				c.t.Errorf("%v does not answer in the end", r)
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
			c.t.Errorf("%v has %d lines in the end, and the checker saw %d: %v, %v", r, lines, c.counted(), bad, err)
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
