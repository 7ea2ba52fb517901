package main

import (
	"bytes"
	"fmt"
	"syscall"
	"time"
)

// idle measures the cost of idle sessions: the time to an ack of the two seats with and
// without them, and the server's memory. In default mode they wait for a seat, and try
// again when they are refused; in faithful mode they are connected.
func (b *bench) idle() error {
	if len(b.measured(goServer)) == 0 {
		return nil
	}
	for _, i := range []idlers{
		{count: 10_000, what: "waiting for a seat", mostKB: 12, mostTimes: 1.3},
		{count: 5_000, what: "connected, -faithful", args: []string{"-faithful"}, mostKB: 40, mostTimes: 2},
	} {
		if err := b.idling(i); err != nil {
			return err
		}
	}
	return nil
}

// idlers are idle sessions, and the limits of their cost: memory for each, and the seats'
// p99 as a multiple of that without them.
type idlers struct {
	count             int
	what              string
	args              []string // of the server
	mostKB, mostTimes float64
}

func (b *bench) idling(i idlers) error {
	if err := enoughFiles(4000); err != nil {
		return err
	}
	i.count = min(i.count, mostClients(500))
	s, err := b.start(goServer, i.args...)
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
			all = append(all, percentile(took, 99))
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
	sessions := make([]*webSocket, 0, i.count)
	defer func() {
		for _, c := range sessions {
			c.Close()
		}
	}()
	failed := make(chan error, i.count)
	for range i.count {
		c, err := openWebSocket(s.addr)
		if err != nil {
			return fmt.Errorf("session %d: %w", len(sessions)+1, err)
		}
		sessions = append(sessions, c)
		c.Queue([]byte("40"))
		if err := c.Flush(); err != nil {
			return err
		}
		go func() { failed <- c.idle() }()
	}
	time.Sleep(time.Second)
	var with float64
	load, err := loading(func() (err error) {
		with, err = slowest()
		return err
	})
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
	memory, loads := values{goServer: (after - before) / float64(i.count)}, values{goServer: load}
	b.table.row(fmt.Sprintf("%d sessions %s: memory for each (RSS)", i.count, i.what), kilobytes, memory, nil, memory.below(i.mostKB, " KB", 1e3))
	p99 := values{goServer: with}
	b.table.row("the same: emit to ack of the two seats, p99", milliseconds, p99, loads, p99.below(i.mostTimes, " × without", without))
	return s.end(p.acked())
}

// enoughFiles returns an error if this process, or one that it starts, may not have that
// many open files.
func enoughFiles(count int) error {
	if most := mostFiles(); most < count {
		return fmt.Errorf("the limit of open files is %d, and %d are needed; raise it with ulimit -Hn", most, count)
	}
	return nil
}

// mostFiles returns how many files this process, and one that it starts, may have open. The
// Go runtime raises the soft limit to the hard one.
func mostFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Max, 1<<30))
}

// mostClients returns how many clients a server that reserves files for that many games may
// have: half of the other files are for them.
func mostClients(games int) int { return (mostFiles() - 500 - games) / 2 }

// idle answers pings, and joins again when no seat was free, until the connection ends.
func (c *webSocket) idle() error {
	c.SetDeadline(time.Time{})
	for {
		if err := c.receive(func(packet []byte) error {
			switch {
			case string(packet) == "2":
				c.Queue([]byte("3"))
			case bytes.HasPrefix(packet, []byte("44")):
				c.Queue([]byte("40"))
			}
			return nil
		}); err != nil {
			return err
		}
		if err := c.Flush(); err != nil {
			return err
		}
	}
}
