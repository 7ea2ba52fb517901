package live

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"counting/server/nonblocking"
)

// dial sends a request, and returns the connection after the response's header.
func (c *count) dial(request string) (net.Conn, *bufio.Reader) {
	c.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(conn, request+"\r\n")
	r := bufio.NewReader(conn)
	for line := ""; line != "\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			c.t.Fatal(err)
		}
	}
	return conn, r
}

// parked reports whether the hub writes to that many readers.
func (c *count) parked(want int) bool {
	c.Feed.mu.Lock()
	defer c.Feed.mu.Unlock()
	n := 0
	for r := range c.ring.readers {
		if r.parked {
			n++
		}
	}
	return n == want
}

// The stream of a client that knows no chunks is not in chunks.
func TestAReaderWithHTTP10(t *testing.T) {
	t.Parallel()
	c := start(t, prefix(2), Options{})
	_, body := c.dial("GET /events?after=1 HTTP/1.0\r\n")
	s := &stream{t: t, body: body}
	s.lines(2, 2)
	s.state()
	waitFor(t, "a parked reader", func() bool { return c.parked(1) })
	c.write(3, 4)
	s.lines(3, 4)
	c.end()
	if rest, err := io.ReadAll(body); err != nil || strings.Contains(string(rest), "0\r\n") {
		t.Errorf("the stream ends with %q, %v", rest, err)
	}
}

// A stream that the server ends is complete: a proxy reports one that is cut off.
func TestAStreamThatTheServerEndsIsComplete(t *testing.T) {
	t.Parallel()
	c := start(t, "", Options{})
	response, err := http.Get(c.url + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if !response.Close {
		t.Error("the response does not tell that its connection will be closed")
	}
	waitFor(t, "a parked reader", func() bool { return c.parked(1) })
	c.write(1)
	c.end()
	if body, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(body), "id: 1\n") {
		t.Errorf("it is %q, %v", body, err)
	}
	waitFor(t, "no reader", func() bool { return c.Readers() == 0 })
}

// A reader that leaves while it waits for events is no longer counted, though there are
// none. So is one that goes on sending.
func TestAReaderThatLeaves(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(net.Conn){
		"it closes the connection": func(c net.Conn) { c.Close() },
		"it sends a lot":           func(c net.Conn) { io.WriteString(c, strings.Repeat("x", maxIgnored+1)) },
	} {
		c := start(t, "", Options{})
		conn, body := c.dial("GET /events HTTP/1.1\r\nHost: localhost\r\n")
		waitFor(t, "a parked reader", func() bool { return c.parked(1) })
		c.Feed.mu.Lock()
		for r := range c.ring.readers {
			if !r.out.deadline.IsZero() {
				t.Error("a parked reader has a deadline")
			}
		}
		c.Feed.mu.Unlock()
		io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n")
		s := &stream{t: t, body: body}
		s.state()
		for n := int64(1); n <= 3; n++ { // the bytes are ignored
			c.write(float64(n))
			s.lines(n, n)
		}
		leave(conn)
		waitFor(t, name, func() bool { return c.Readers() == 0 })
	}
}

// A connection that is full, or on which nothing can be written without blocking, is
// written to by the reader's own goroutine. Each reader gets every line once, in order.
func TestReadersThatAreSlowMissNothing(t *testing.T) {
	t.Parallel()
	c := start(t, "", Options{})
	conn, slow := c.dial("GET /events HTTP/1.0\r\n")
	conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	waitFor(t, "a parked reader", func() bool { return c.parked(1) })
	fast := c.open("", "")
	fast.state()
	blocking := c.open("", "")
	blocking.state()
	waitFor(t, "three parked readers", func() bool { return c.parked(3) })
	var full *reader
	c.Feed.mu.Lock()
	without := 0
	for r := range c.ring.readers {
		if !r.out.chunked {
			full = r
			full.out.conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
		} else if without == 0 {
			r.out.direct = nonblocking.Writer{}
			without++
		}
	}
	c.Feed.mu.Unlock()
	const last = ringSize / 2 // 250 kB, so that the connection is full
	numbers := make([]float64, last)
	for i := range numbers {
		numbers[i] = float64(i + 1)
	}
	c.write(numbers...)
	fast.lines(1, last)
	blocking.lines(1, last)
	waitFor(t, "two parked readers", func() bool { return c.parked(2) })
	c.Feed.mu.Lock()
	if full.parked {
		t.Error("the connection is not full")
	}
	c.Feed.mu.Unlock()
	c.write(last + 1)
	s := &stream{t: t, body: slow}
	s.state()
	s.lines(1, last+1)
	fast.lines(last+1, last+1)
	blocking.lines(last+1, last+1)
	if readers, _, behind := c.Dropped(); readers != 0 || behind != 0 {
		t.Errorf("%d readers were dropped, %d continued from the file", readers, behind)
	}
}

// A response writer whose connection cannot be taken ends the stream.
func TestAStreamWithoutAConnection(t *testing.T) {
	t.Parallel()
	c := start(t, "", Options{})
	w := &plainWriter{header: http.Header{}}
	r, _ := http.NewRequest(http.MethodGet, "/events", nil)
	c.ServeEvents(w, r)
	if !strings.Contains(w.String(), "event: state\n") || c.Readers() != 0 {
		t.Errorf("%q, %d readers", w.String(), c.Readers())
	}
}

type plainWriter struct {
	strings.Builder
	header http.Header
}

func (w *plainWriter) Header() http.Header              { return w.header }
func (w *plainWriter) WriteHeader(int)                  {}
func (w *plainWriter) FlushError() error                { return nil }
func (w *plainWriter) SetWriteDeadline(time.Time) error { return nil }
func (w *plainWriter) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
