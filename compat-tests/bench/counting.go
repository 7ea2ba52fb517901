package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// window is how many numbers each seat has in flight where it has several.
const window = 64

// pairs starts the servers and seats two clients at each. Flask's threading
// mode serves WebSocket only with a package that the original does not ask for:
// there the clients poll.
func (b *bench) pairs(dial func(string) (transport, error), names ...string) (pairs []*pair, err error) {
	for _, name := range b.measured(names...) {
		s, err := b.start(name)
		if err != nil {
			kill(pairs)
			return nil, err
		}
		dial := dial
		if name == threading {
			dial = overPolling
		}
		p, err := join(s, dial)
		if err != nil {
			s.kill()
			kill(pairs)
			return nil, err
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

// end ends the servers, and checks what they have written.
func end(pairs []*pair) error {
	for _, p := range pairs {
		p.leave()
		if err := p.end(p.acked()); err != nil {
			return err
		}
	}
	return nil
}

func kill(pairs []*pair) {
	for _, p := range pairs {
		p.kill()
	}
}

// acks measures the acked numbers a second with many in flight, and what they
// cost the server.
func (b *bench) acks() error {
	pairs, err := b.pairs(overWebSocket, goServer, flask, bare)
	if err != nil {
		return err
	}
	defer kill(pairs)
	rates, costs, loads, busy := make(series), make(series), make(series), make(series)
	for range b.reps {
		for _, p := range pairs {
			t, err := p.flow(window, b.seconds, b.profile)
			if err != nil {
				return err
			}
			rates.add(p.name, t.rate)
			costs.add(p.name, t.serverCPU.Seconds()*100_000)
			loads.add(p.name, t.clientCPU)
			busy.add(p.name, t.load)
		}
	}
	r, c := rates.median(), costs.median()
	b.table.row(fmt.Sprintf("acked numbers per second, %d in flight per seat, WebSocket", window), rate, r,
		r.against(flask, "Flask", false, 12), r.against(bare, "bare", false, 0.75))
	b.table.row("CPU seconds for 100,000 of these numbers", seconds, c, c.against(flask, "Flask", true, 0.15))
	var shares []string
	for _, p := range pairs {
		shares = append(shares, fmt.Sprintf("%s %.2f (%.2f)", p.head, busy.median()[p.name], loads.median()[p.name]))
	}
	b.notes = append(b.notes, "Processors in use while the acks are counted, by the server and in parentheses by its load: "+strings.Join(shares, ", ")+".")
	return end(pairs)
}

// profile begins or ends a profile of the Go server, if one is wanted.
func (b *bench) profile(s *server, signal syscall.Signal) error {
	if b.profiles == "" || s.name != goServer {
		return nil
	}
	return s.cmd.Process.Signal(signal)
}

// oneInFlight measures how long an ack takes when each number waits for the
// ack of the one before.
func (b *bench) oneInFlight() error {
	pairs, err := b.pairs(overWebSocket, goServer, flask, bare)
	if err != nil {
		return err
	}
	defer kill(pairs)
	half, slow := make(series), make(series)
	var syncs []float64
	for range b.reps {
		for _, p := range pairs {
			took, err := p.turns(b.seconds, 0, nil)
			if err != nil {
				return err
			}
			half.add(p.name, percentile(inSeconds(took), 50))
			slow.add(p.name, percentile(inSeconds(took), 99))
		}
		took, err := syncing(b.dir, b.seconds/4)
		if err != nil {
			return err
		}
		syncs = append(syncs, percentile(took, 50))
	}
	p50, p99, sync := half.median(), slow.median(), percentile(syncs, 50)
	bounds := p50.against(flask, "Flask", true, 0.5)
	if p50[bare] > 0 {
		bounds = append(bounds, bound{p50[goServer] / (p50[bare] + sync), " × (bare + fsync)", true, 1.3})
	}
	b.table.row("one in flight, emit to ack, p50", milliseconds, p50, bounds)
	b.table.row("the same, p99", milliseconds, p99)
	b.notes = append(b.notes, fmt.Sprintf("One fsync of one line more took %s in the median, on the same file system.", milliseconds(sync)))
	return end(pairs)
}

// syncing returns how long it takes to append a line to a file and have it on
// the disk, again and again for that long.
func syncing(dir string, d time.Duration) (took []float64, err error) {
	file, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for end := time.Now().Add(d); time.Now().Before(end); {
		began := time.Now()
		if _, err := file.WriteString("one thousand, two hundred and thirty-four\n"); err != nil {
			return nil, err
		}
		if err := file.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began).Seconds())
	}
	return took, nil
}

// polling measures what acks measures, for clients that poll.
func (b *bench) polling() error {
	pairs, err := b.pairs(overPolling, goServer, flask, threading, bare)
	if err != nil {
		return err
	}
	defer kill(pairs)
	rates := make(series)
	for range b.reps {
		for _, p := range pairs {
			t, err := p.flow(window, b.seconds, func(*server, syscall.Signal) error { return nil })
			if err != nil {
				return err
			}
			rates.add(p.name, t.rate)
		}
	}
	r := rates.median()
	b.table.row(fmt.Sprintf("the same over polling, at most %d to a post", mostPackets), rate, r, r.against(flask, "Flask", false, 3))
	return end(pairs)
}

// memory measures what the server has in memory at rest: two clients that have
// counted, and do not at the moment.
func (b *bench) memory() error {
	pairs, err := b.pairs(overWebSocket, goServer, flask, threading, bare)
	if err != nil {
		return err
	}
	defer kill(pairs)
	for _, p := range pairs {
		if _, err := p.turns(b.seconds/4, 0, nil); err != nil {
			return err
		}
	}
	time.Sleep(b.seconds)
	v := make(values)
	for _, p := range pairs {
		if v[p.name], err = p.server.memory(); err != nil {
			return err
		}
	}
	b.table.row("memory at rest, two clients (RSS)", megabytes, v,
		[]bound{{v[goServer] / 1e6, " MB", true, 25}}, v.against(flask, "Flask", true, 0.5))
	return end(pairs)
}
