package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// window is how many numbers each seat has in flight where it has several.
const window = 64

// pairs starts the servers and seats two clients at each. Flask's threading
// mode serves WebSocket only with a package that the original does not ask for:
// there the clients poll.
func (b *bench) pairs(dial func(string) (transport, error), names ...string) (pairs []*pair, end func() error, err error) {
	end = func() (err error) {
		for _, p := range pairs {
			p.leave()
			if e := p.server.end(p.acked()); err == nil {
				err = e
			}
		}
		return err
	}
	for _, name := range b.measured(names...) {
		s, err := b.start(name)
		if err != nil {
			end()
			return nil, nil, err
		}
		dial := dial
		if name == threading {
			dial = overPolling
		}
		p, err := join(s, dial)
		if err != nil {
			s.kill()
			end()
			return nil, nil, err
		}
		pairs = append(pairs, p)
	}
	return pairs, end, nil
}

// acks measures the acked numbers a second with many in flight, and what they
// cost the server.
func (b *bench) acks() error {
	pairs, end, err := b.pairs(overWebSocket, goServer, flask, bare)
	if err != nil {
		return err
	}
	defer end()
	rates, costs := make(series), make(series)
	var mostClient float64
	var load string
	for range b.reps {
		for _, p := range pairs {
			t, err := p.flow(window, b.seconds, b.profile)
			if err != nil {
				return err
			}
			rates.add(p.name, t.rate)
			costs.add(p.name, t.serverCPU.Seconds()*100_000)
			if t.clientCPU > mostClient {
				mostClient = t.clientCPU
				load = fmt.Sprintf("The load took at most %.2f of a processor, where %s took %.2f.", t.clientCPU, p.head, t.load)
			}
		}
	}
	r, c := rates.median(), costs.median()
	b.table.row(fmt.Sprintf("acked numbers per second, %d in flight per seat, WebSocket", window), rate, r,
		r.against(flask, "Flask", false, 12), r.against(bare, "bare", false, 0.75))
	b.table.row("CPU seconds for 100,000 of these numbers", seconds, c, c.against(flask, "Flask", true, 0.15))
	b.notes = append(b.notes, load)
	return end()
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
	pairs, end, err := b.pairs(overWebSocket, goServer, flask, bare)
	if err != nil {
		return err
	}
	defer end()
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
		bounds = append(bounds, bound{p50[goServer] / (p50[bare] + sync), " × (bare + fdatasync)", true, 1.3})
	}
	b.table.row("one in flight, emit to ack, p50", milliseconds, p50, bounds)
	b.table.row("the same, p99", milliseconds, p99)
	b.notes = append(b.notes, fmt.Sprintf("One fdatasync of one line more took %s in the median, on the same file system.", milliseconds(sync)))
	return end()
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
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began).Seconds())
	}
	return took, nil
}

// polling measures what acks measures, for clients that poll.
func (b *bench) polling() error {
	pairs, end, err := b.pairs(overPolling, goServer, flask, threading, bare)
	if err != nil {
		return err
	}
	defer end()
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
	return end()
}

// memory measures what the server has in memory at rest: two clients that have
// counted, and do not at the moment.
func (b *bench) memory() error {
	pairs, end, err := b.pairs(overWebSocket, goServer, flask, threading, bare)
	if err != nil {
		return err
	}
	defer end()
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
	return end()
}
