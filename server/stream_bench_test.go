package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"counting/server/spelling"
)

// BenchmarkAckWithReaders measures how much longer a client waits for its ack while
// 1,000 readers, one of which is stuck, read the stream: the 99th percentile with them,
// without them, and the ratio, which must stay below 2.
//
// The clients take turns as usual, only faster. Both cases alternate within one run, so
// that load of other programs affects both.
func BenchmarkAckWithReaders(b *testing.B) {
	b.Run("of_new_lines", func(b *testing.B) { ackWithReaders(b, 1000, "/events", 0) })
	b.Run("of_a_million_lines", func(b *testing.B) { ackWithReaders(b, 300, "/events?after=0", 1_000_000) })
}

func ackWithReaders(b *testing.B, readers int, path string, lines int64) {
	const (
		rounds = 6
		pause  = 5 * time.Millisecond // the original's clients leave 600
	)
	dir := b.TempDir()
	var text []byte
	for n := int64(1); n <= lines; n++ {
		text = append(spelling.Append(text, n), '\n')
	}
	if err := os.WriteFile(filepath.Join(dir, "numbers.txt"), text, 0o666); err != nil {
		b.Fatal(err)
	}
	s := startServerIn(b, dir, "-max-readers-per-address", "0")
	a, c := joinTwo(b, s)
	n := int(lines)
	turn := func() time.Duration {
		time.Sleep(pause)
		n++
		p, seat := a, "client1"
		if n%2 == 0 {
			p, seat = c, "client2"
		}
		return timeToAck(b, p, seat, n)
	}
	for range 100 {
		turn()
	}
	var with, without []time.Duration
	b.ResetTimer()
	for range rounds {
		for range max(b.N, 500) / rounds {
			without = append(without, turn())
		}
		leave := watchers(b, s, readers, path)
		for range max(b.N, 500) / rounds {
			with = append(with, turn())
		}
		leave()
	}
	b.ReportMetric(0, "ns/op") // meaningless here
	b.ReportMetric(ms(percentile(without, 99)), "p99-ms-alone")
	b.ReportMetric(ms(percentile(with, 99)), "p99-ms-watched")
	b.ReportMetric(ms(percentile(without, 50)), "p50-ms-alone")
	b.ReportMetric(ms(percentile(with, 50)), "p50-ms-watched")
	b.ReportMetric(ms(percentile(with, 99))/ms(percentile(without, 99)), "p99-ratio")
}

// timeToAck sends a number, and returns how long its ack took.
func timeToAck(b *testing.B, p *peer, seat string, n int) time.Duration {
	b.Helper()
	began := time.Now()
	p.send(number("1", seat, n))
	for {
		packet, err := p.next()
		switch {
		case err != nil:
			b.Fatal(err)
		case packet == "2": // the heartbeat
			p.send("3")
		case packet == "431[]":
			return time.Since(began)
		default:
			b.Fatalf("%q came in place of the ack", packet)
		}
	}
}

// watchers opens that many streams, reads all but one of them, and returns a function
// that ends them.
func watchers(b *testing.B, s *testServer, readers int, path string) (leave func()) {
	b.Helper()
	var conns []net.Conn
	var done sync.WaitGroup
	for i := range readers {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			b.Fatal(err)
		}
		conns = append(conns, conn)
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
		if i == 0 {
			conn.(*net.TCPConn).SetReadBuffer(4 << 10) // this one is stuck
			continue
		}
		done.Go(func() { io.Copy(io.Discard, conn) })
	}
	watched := func(n int) func() bool {
		return func() bool {
			_, text, _ := request(b, http.MethodGet, s.url+"/metrics", nil)
			return strings.Contains(text, fmt.Sprintf("counting_stream_readers %d\n", n))
		}
	}
	waitFor(b, "the readers", watched(readers))
	return func() {
		for _, conn := range conns {
			conn.Close()
		}
		done.Wait()
		waitFor(b, "the readers to be gone", watched(0))
	}
}

func percentile(all []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)*p/100]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
