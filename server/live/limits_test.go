package live

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"counting/server/clientaddr"
)

// After a batch that is longer than the ring every reader continues from the file. None
// is dropped, and none misses a line.
func TestABatchLongerThanTheRing(t *testing.T) {
	t.Parallel()
	c := start(t, "", Options{})
	var streams []*stream
	for range 5 {
		s := c.open("", "")
		s.state()
		streams = append(streams, s)
	}
	last := int64(0)
	for _, n := range []int64{ringSize + 1, 10, 3 * ringSize} {
		var numbers []float64
		for i := last + 1; i <= last+n; i++ {
			numbers = append(numbers, float64(i))
		}
		c.write(numbers...)
		for _, s := range streams {
			for want := last + 1; want <= last+n; {
				name, id, _ := s.next()
				if name != "line" { // the state, after the lines from the file
					continue
				}
				if id != fmt.Sprint(want) {
					t.Fatalf("line %s came in place of %d", id, want)
				}
				want++
			}
		}
		last += n
	}
	if readers, _, behind := c.Dropped(); readers != 0 || behind == 0 {
		t.Errorf("%d readers were dropped, %d continued from the file", readers, behind)
	}
}

// Readers and downloads are counted from the request on, in total and for each address.
func TestReadersAreLimited(t *testing.T) {
	t.Parallel()
	limits := make(chan Limit, 10)
	trusted, err := clientaddr.ParseTrusted("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	c := startWith(t, prefix(1000), Options{}, HubOptions{
		Limits:  Limits{Readers: 3, PerAddress: 2},
		OnLimit: func(l Limit) { limits <- l },
		Trusted: trusted,
	})
	turn := c.lines.turn
	turn <- struct{}{} // readers wait for lines from the file
	open := func(from, path string) (status int, close func()) {
		t.Helper()
		r, _ := http.NewRequest(http.MethodGet, c.url+path, nil)
		r.Header.Set("X-Forwarded-For", from)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		if response.StatusCode != http.StatusOK && response.Header.Get("Retry-After") == "" {
			t.Errorf("%s has no Retry-After", response.Status)
		}
		return response.StatusCode, func() { response.Body.Close() }
	}
	expect := func(from, path string, status int, limit Limit) (close func()) {
		t.Helper()
		got, close := open(from, path)
		if got != status {
			t.Errorf("%s %s is answered %d, not %d", from, path, got, status)
		}
		if limit != "" {
			if reached := <-limits; reached != limit {
				t.Errorf("%s %s reached the limit %s, not %s", from, path, reached, limit)
			}
		}
		return close
	}
	leave := expect("2001:db8::1", "/events?after=0", http.StatusOK, "")
	expect("2001:db8::2", "/events", http.StatusOK, "")
	expect("2001:db8::3", "/events", http.StatusTooManyRequests, LimitReadersPerAddress)
	expect("2001:db8::3", "/numbers.txt", http.StatusTooManyRequests, LimitReadersPerAddress)
	expect("10.0.0.1", "/events?after=0", http.StatusOK, "")
	if n := c.Readers(); n != 3 {
		t.Errorf("%d readers are counted", n)
	}
	expect("10.0.0.2", "/events", http.StatusServiceUnavailable, LimitReaders)
	expect("10.0.0.2", "/state", http.StatusOK, "")
	leave()
	waitFor(t, "the reader to be gone", func() bool { return c.Readers() == 2 })
	expect("10.0.0.2", "/events", http.StatusOK, "")
	<-turn
}

// Readers that catch up take turns with pauses: those of all games together use less than
// a third of one processor.
func TestCatchingUpHasABudget(t *testing.T) {
	t.Parallel()
	h := NewHub(HubOptions{})
	var l *lines
	for range 2 {
		f, err := h.Open(Options{Unbroken: true})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close(context.Background())
		if l != nil && l.turn != f.lines.turn {
			t.Error("two games have a budget each")
		}
		l = f.lines
	}
	began := time.Now()
	busy := time.Duration(0)
	for n := int64(0); n < 40*block; n += block {
		before := time.Now()
		if _, err := l.encoded(t.Context(), n, 1<<40); err != nil {
			t.Fatal(err)
		}
		l.turn <- struct{}{} // waits for the pause to end
		pause := time.Since(before)
		<-l.turn
		again := time.Now()
		if _, err := l.encoded(t.Context(), n, 1<<40); err != nil {
			t.Fatal(err)
		}
		busy += min(time.Since(again), pause)
	}
	if all := time.Since(began); busy > all/3 {
		t.Errorf("of %v, %v were spent on readers", all, busy)
	}
}

// Headers forbid proxies to buffer events or to change downloads.
func TestHeadersForProxies(t *testing.T) {
	t.Parallel()
	c := start(t, "one\n", Options{})
	for path, want := range map[string]string{"/events": "no-store, no-transform", "/state": "no-store, no-transform", "/numbers.txt": "no-cache"} {
		response, err := http.Head(c.url + path)
		if err != nil {
			t.Fatal(err)
		}
		if got := response.Header.Get("Cache-Control"); got != want {
			t.Errorf("%s: Cache-Control is %q", path, got)
		}
	}
}

// With the parameter once a stream ends after the state.
func TestAStreamThatEnds(t *testing.T) {
	t.Parallel()
	c := start(t, prefix(300), Options{Count: 300})
	response, err := http.Get(c.url + "/events?after=1&once")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if n := strings.Count(string(body), "event: line\n"); err != nil || n != 299 || !strings.Contains(string(body), "event: state\n") {
		t.Errorf("%d lines, %v", n, err)
	}
}

// The file can be downloaded in complete lines, in ranges, and conditionally.
func TestDownload(t *testing.T) {
	t.Parallel()
	c := start(t, "one\ntwo\nthr", Options{})
	type answer struct {
		code   int
		header http.Header
		body   []byte
	}
	get := func(header ...string) answer {
		t.Helper()
		r, _ := http.NewRequest(http.MethodGet, c.url+"/numbers.txt", nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{response.StatusCode, response.Header, body}
	}
	all := get()
	tag := all.header.Get("ETag")
	if all.code != http.StatusOK || string(all.body) != "one\ntwo\n" || tag == "" || all.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Fatalf("%d %q %q", all.code, all.body, all.header)
	}
	if w := get("If-None-Match", tag); w.code != http.StatusNotModified {
		t.Errorf("again: %d", w.code)
	}
	if w := get("Range", "bytes=4-", "If-Range", tag); w.code != http.StatusPartialContent || string(w.body) != "two\n" {
		t.Errorf("a part: %d %q", w.code, w.body)
	}
	if w := get("Range", "bytes=100-"); w.code != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a part that does not exist: %d", w.code)
	}
	if err := os.WriteFile(c.path, []byte("one\ntwo\nthree\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if w := get("Range", "bytes=4-", "If-Range", tag); w.code != http.StatusOK || string(w.body) != "one\ntwo\nthree\n" {
		t.Errorf("a part of a file that has changed: %d %q", w.code, w.body)
	}
	long := strings.Repeat("x", 9000) + "\n" + strings.Repeat("y", 9000)
	for _, text := range []string{"", "y", long, "\n", strings.Repeat("\n", 8192)} {
		if err := os.WriteFile(c.path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		want := text[:strings.LastIndex(text, "\n")+1]
		if got := get().body; !bytes.Equal(got, []byte(want)) {
			t.Errorf("of %d bytes, %d are served, not %d", len(text), len(got), len(want))
		}
	}
	os.Remove(c.path)
	if w := get(); w.code != http.StatusOK || len(w.body) != 0 {
		t.Errorf("a file that is missing: %d %q", w.code, w.body)
	}
}

func BenchmarkCatchUp(b *testing.B) {
	l := newLines("", true, nil)
	for b.Loop() {
		found, _ := l.read(0, block)
		for _, line := range found {
			encode("line", line.Line, line)
		}
	}
}
