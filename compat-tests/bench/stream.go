package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// stream measures the time from a number's ack until readers of the stream receive its
// event, and the effect of the readers on acks.
func (b *bench) stream() error {
	if len(b.measured(goServer)) == 0 {
		return nil
	}
	for _, r := range []readers{{count: 100, most: 20}, {count: 1000, most: 30, mostTimes: 1.1}} {
		if err := b.streaming(r); err != nil {
			return err
		}
	}
	return nil
}

// readers read the stream. most is the limit of their delay in milliseconds. mostTimes, if
// not 0, is the limit of the ack's p50 as a multiple of that without them.
type readers struct {
	count           int
	most, mostTimes float64
}

const (
	// mostTimed is how many readers note the time of each event. The others read once a
	// second, so that the load does not need a whole core.
	mostTimed = 100
	pause     = 10 * time.Millisecond // from one number to the next
)

func (b *bench) streaming(r readers) error {
	if err := enoughFiles(r.count + 100); err != nil {
		return err
	}
	s, err := b.start(goServer, "-max-readers", "0", "-max-readers-per-address", "0")
	if err != nil {
		return err
	}
	defer s.kill()
	p, err := join(s, overWebSocket)
	if err != nil {
		return err
	}
	defer p.leave()
	without, err := p.turns(2*b.seconds, pause, nil)
	if err != nil {
		return err
	}
	came := make([]map[int64]time.Time, min(r.count, mostTimed)) // each written by its reader alone
	var done sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{}}
	for i := range r.count {
		response, err := client.Get("http://" + s.addr + "/events")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("reader %d: %s", i+1, response.Status)
		}
		every := r.count / len(came)
		if i%every != 0 {
			done.Go(func() { drain(response.Body) })
			continue
		}
		times := make(map[int64]time.Time)
		came[i/every] = times
		done.Go(func() { note(response.Body, times) })
	}
	acked := make(map[int64]time.Time)
	var with []float64
	load, err := loading(func() (err error) {
		with, err = p.turns(2*b.seconds, pause, func(number int64, at time.Time) { acked[number] = at })
		return err
	})
	if err != nil {
		return err
	}
	time.Sleep(time.Second)
	s.kill() // ends the streams
	done.Wait()
	var delays []float64
	for _, c := range came {
		if len(c) < len(acked) {
			return fmt.Errorf("a reader received %d of %d lines within a second", len(c), len(acked))
		}
		for number, at := range acked {
			delays = append(delays, max(0, c[number].Sub(at).Seconds()))
		}
	}
	loads, p99 := values{goServer: load}, values{goServer: percentile(delays, 99)}
	b.table.row(fmt.Sprintf("ack to event in hand, %d readers of /events, a number every %v, p99", r.count, pause), milliseconds,
		p99, loads, p99.below(r.most, " ms", 1e-3))
	if r.mostTimes > 0 {
		p50 := values{goServer: percentile(with, 50)}
		b.table.row("the same: emit to ack, p50", milliseconds, p50, loads, p50.below(r.mostTimes, " × without", percentile(without, 50)))
	}
	round, err := writing(r.count)
	if err != nil {
		return err
	}
	b.notes = append(b.notes, fmt.Sprintf("One write of %d bytes to each of %d connections over loopback, one after the other, took %s (median) after that. The server writes to its readers so, and then pauses for half as long.", eventBytes, r.count, milliseconds(round)))
	return s.end(p.acked())
}

const (
	eventBytes = 150 // about that of a line
	rounds     = 50
)

// writing returns the seconds that one write to each of count connections takes.
func writing(count int) (float64, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	conns := make([]net.Conn, count)
	for i := range conns {
		reader, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return 0, err
		}
		defer reader.Close()
		if conns[i], err = l.Accept(); err != nil {
			return 0, err
		}
		defer conns[i].Close()
		go drain(reader)
	}
	var took []float64
	for range rounds {
		began := time.Now()
		for _, c := range conns {
			if _, err := c.Write(make([]byte, eventBytes)); err != nil {
				return 0, err
			}
		}
		took = append(took, time.Since(began).Seconds())
		time.Sleep(time.Since(began))
	}
	return percentile(took, 50), nil
}

// note notes when each line of the count arrives. Only lines have an id.
func note(events io.Reader, times map[int64]time.Time) {
	lines := bufio.NewScanner(events)
	for lines.Scan() {
		if id, ok := bytes.CutPrefix(lines.Bytes(), []byte("id: ")); ok {
			n, _ := strconv.ParseInt(string(id), 10, 64)
			times[n] = time.Now()
		}
	}
}

// drain reads once a second.
func drain(events io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		if _, err := events.Read(buffer); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}
