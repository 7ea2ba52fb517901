package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// idle measures what sessions cost that do nothing: how long the two seats'
// acks take with and without them, and the server's memory. In default mode
// they wait for a seat, and ask again when they are refused; in faithful mode
// they are connected.
func (b *bench) idle() error {
	if len(b.measured(goServer)) == 0 {
		return nil
	}
	for _, mode := range []struct {
		what string
		args []string
	}{{"waiting for a seat", nil}, {"connected, -faithful", []string{"-faithful"}}} {
		if err := b.idling(mode.what, mode.args); err != nil {
			return err
		}
	}
	return nil
}

const idlers = 5000

func (b *bench) idling(what string, args []string) error {
	args = append(args, "-max-sessions", "0", "-max-sessions-per-address", "0", "-max-connections", "0", "-max-connections-per-address", "0")
	s, err := b.start(goServer, args...)
	if err != nil {
		return err
	}
	defer s.kill()
	p, err := join(s, overWebSocket)
	if err != nil {
		return err
	}
	defer p.leave()
	slowest := func() (float64, error) {
		var all []float64
		for range b.reps {
			took, err := p.turns(b.seconds, time.Millisecond, nil)
			if err != nil {
				return 0, err
			}
			all = append(all, percentile(inSeconds(took), 99))
		}
		return percentile(all, 50), nil
	}
	without, err := slowest()
	if err != nil {
		return err
	}
	before, err := s.memory()
	if err != nil {
		return err
	}
	sessions := make([]*webSocket, 0, idlers)
	defer func() {
		for _, c := range sessions {
			c.Close()
		}
	}()
	var gone sync.WaitGroup
	failed := make(chan error, idlers)
	for range idlers {
		c, err := dialWebSocket(s.addr)
		if err != nil {
			return fmt.Errorf("session %d: %w", len(sessions)+1, err)
		}
		sessions = append(sessions, c)
		c.queue([]byte("40"))
		if err := c.flush(); err != nil {
			return err
		}
		gone.Go(func() { failed <- c.idle() })
	}
	time.Sleep(time.Second)
	with, err := slowest()
	if err != nil {
		return err
	}
	after, err := s.memory()
	if err != nil {
		return err
	}
	select {
	case err := <-failed:
		return fmt.Errorf("an idle session ended: %w", err)
	default:
	}
	each := (after - before) / idlers
	b.table.row(fmt.Sprintf("%d sessions %s: memory for each (RSS)", idlers, what), kilobytes, values{goServer: each},
		[]bound{{each / 1e3, " KB", true, 40}})
	b.table.row("the same: emit to ack of the two seats, p99", milliseconds, values{goServer: with},
		[]bound{{with / without, " × without", true, 2}})
	return s.end(p.acked())
}

// idle answers pings, and asks again for a seat when none was free, until the
// connection ends.
func (c *webSocket) idle() error {
	c.SetDeadline(time.Time{})
	for {
		if err := c.receive(func(packet []byte) error {
			switch {
			case string(packet) == "2":
				c.queue([]byte("3"))
			case bytes.HasPrefix(packet, []byte("44")):
				c.queue([]byte("40"))
			}
			return nil
		}); err != nil {
			return err
		}
		if len(c.out) > 0 {
			if err := c.flush(); err != nil {
				return err
			}
		}
	}
}

const readers = 100

// stream measures how long after a number's ack those who read the stream have
// its event in hand.
func (b *bench) stream() error {
	if len(b.measured(goServer)) == 0 {
		return nil
	}
	s, err := b.start(goServer)
	if err != nil {
		return err
	}
	defer s.kill()
	p, err := join(s, overWebSocket)
	if err != nil {
		return err
	}
	defer p.leave()
	came := make([]map[int64]time.Time, readers) // each written by its reader alone
	var done sync.WaitGroup
	transport := &http.Transport{}
	for i := range came {
		response, err := (&http.Client{Transport: transport}).Get("http://" + s.addr + "/events")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		came[i] = make(map[int64]time.Time)
		done.Go(func() {
			lines := bufio.NewScanner(response.Body)
			for lines.Scan() { // lines of the count alone have an id
				if id, ok := bytes.CutPrefix(lines.Bytes(), []byte("id: ")); ok {
					n, _ := strconv.ParseInt(string(id), 10, 64)
					came[i][n] = time.Now()
				}
			}
		})
	}
	acked := make(map[int64]time.Time)
	const pause = 10 * time.Millisecond
	if _, err := p.turns(2*b.seconds, pause, func(number int64, at time.Time) { acked[number] = at }); err != nil {
		return err
	}
	time.Sleep(time.Second)
	s.kill() // ends the streams
	done.Wait()
	var delays []float64
	for _, c := range came {
		if len(c) < len(acked) {
			return fmt.Errorf("a reader had %d of %d lines within a second", len(c), len(acked))
		}
		for number, at := range acked {
			delays = append(delays, max(0, c[number].Sub(at).Seconds()))
		}
	}
	p99 := percentile(delays, 99)
	b.table.row(fmt.Sprintf("ack to event in hand, %d readers of /events, a number every %v, p99", readers, pause), milliseconds,
		values{goServer: p99}, []bound{{p99 * 1000, " ms", true, 20}})
	return s.end(p.acked())
}
