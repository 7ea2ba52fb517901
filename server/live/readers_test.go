package live

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A reader that does not read is dropped, and the events that it had not been sent are
// counted. Other readers are not affected.
func TestAStuckReaderIsDropped(t *testing.T) {
	t.Parallel()
	c := start(t, "", Options{})
	stuck, _ := c.dial("GET /events HTTP/1.1\r\nHost: localhost\r\n") // and never reads
	stuck.(*net.TCPConn).SetReadBuffer(4 << 10)
	reading := c.open("", "")
	reading.state()
	waitFor(t, "two readers", func() bool { return c.Readers() == 2 })
	dropped := func() bool { readers, _, _ := c.Dropped(); return readers > 0 }
	n := int64(0)
	var stuckAt time.Time
	for !dropped() { // at its write deadline at the latest
		if !stuckAt.IsZero() && time.Since(stuckAt) > writeTimeout+patience {
			t.Fatal("it is not dropped")
		}
		numbers := make([]float64, ringSize/4)
		for i := range numbers {
			numbers[i] = float64(n + int64(i) + 1)
		}
		c.Written(numbers, 0)
		reading.lines(n+1, n+int64(len(numbers)))
		n += int64(len(numbers))
		if n > 40*ringSize { // more than the system's buffers hold: it is stuck
			if stuckAt.IsZero() {
				stuckAt = time.Now()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	if readers, events, _ := c.Dropped(); readers != 1 || events < maxTaken {
		t.Errorf("%d readers were dropped, with %d events", readers, events)
	}
	waitFor(t, "one reader", func() bool { return c.Readers() == 1 })
}

// The process ends after Close, which would cut off a stream that has not ended.
func TestCloseReturnsWhenTheStreamsHaveEnded(t *testing.T) {
	t.Parallel()
	c := start(t, "", Options{})
	var streams []*stream
	for range 30 {
		s := c.open("", "")
		s.state()
		streams = append(streams, s)
	}
	c.write(1)
	c.end()
	if n := c.streams.Load(); n != 0 {
		t.Errorf("%d of %d streams have not ended", n, len(streams))
	}
	for _, s := range streams {
		if rest, err := io.ReadAll(s.body); err != nil || !strings.Contains(string(rest), "id: 1\n") {
			t.Fatalf("a stream ends with %q, %v", rest, err)
		}
	}
}
