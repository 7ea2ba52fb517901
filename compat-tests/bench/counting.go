package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// window is how many numbers each seat has in flight in the rows acks and polling.
const window = 64

// pairs starts the servers and two clients of each. Flask's threading mode serves WebSocket
// only with a package that the original does not require: there the clients poll.
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

// end ends the servers, and checks the files that they have written.
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

// acks measures the acked numbers per second with many in flight, and the CPU time of the
// server for them.
func (b *bench) acks() error {
	pairs, err := b.pairs(overWebSocket, goServer, node, packages, synced, bare, flask)
	if err != nil {
		return err
	}
	defer kill(pairs)
	rates, costs, loads, busy := make(series), make(series), make(series), make(series)
	for rep := range b.reps {
		for _, p := range inTurn(pairs, rep) {
			if err := keepAlive(pairs); err != nil {
				return err
			}
			t, err := p.flow(window, b.seconds, b.profile)
			if err != nil {
				return err
			}
			rates.add(p.name, t.rate)
			costs.add(p.name, t.serverCPU.Seconds()*100_000)
			loads.add(p.name, t.load)
			busy.add(p.name, t.server)
		}
	}
	r, c, l := rates.median(), costs.median(), loads.median()
	b.table.row(fmt.Sprintf("acked numbers per second, %d in flight per seat, WebSocket", window), rate, r, l,
		r.against(node, "Node", false, 2.5), r.against(bare, "bare library", false, 1.8), r.against(flask, "Flask", false, 40))
	b.table.row("CPU seconds for 100,000 of these numbers", seconds, c, l, c.against(node, "Node", true, 0.5), c.against(flask, "Flask", true, 0.04))
	var shares []string
	for _, p := range pairs {
		shares = append(shares, fmt.Sprintf("%s %.2f", p.head, busy.median()[p.name]))
	}
	b.notes = append(b.notes, "Cores that the servers used during the first rows: "+strings.Join(shares, ", ")+".")
	return end(pairs)
}

// profile starts or stops a CPU profile of the Go server, if -profile is given.
func (b *bench) profile(s *server, signal syscall.Signal) error {
	if b.profiles == "" || s.name != goServer {
		return nil
	}
	profile := filepath.Join(b.profiles, profileName)
	if signal == syscall.SIGUSR1 {
		os.Remove(profile)
		return s.cmd.Process.Signal(signal)
	}
	if err := s.cmd.Process.Signal(signal); err != nil {
		return err
	}
	for range 1000 {
		if _, err := os.Stat(profile); err == nil {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("the server has not written %s", profile)
}

// profileName is the name of the profile in the directory -profile.
const profileName = "cpu.pprof"

func unprofiled(*server, syscall.Signal) error { return nil }

// polling measures the acked numbers per second of clients that poll.
func (b *bench) polling() error {
	pairs, err := b.pairs(overPolling, goServer, node, packages, synced, bare, flask, threading)
	if err != nil {
		return err
	}
	defer kill(pairs)
	rates, loads := make(series), make(series)
	for rep := range b.reps {
		for _, p := range inTurn(pairs, rep) {
			if err := keepAlive(pairs); err != nil {
				return err
			}
			t, err := p.flow(window, b.seconds, unprofiled)
			if err != nil {
				return err
			}
			rates.add(p.name, t.rate)
			loads.add(p.name, t.load)
		}
	}
	r := rates.median()
	b.table.row(fmt.Sprintf("acked numbers per second, %d in flight per seat, polling, at most %d to a post", window, mostPackets), rate, r, loads.median(),
		r.against(node, "Node", false, 1), r.against(flask, "Flask", false, 15))
	return end(pairs)
}

// memory measures the memory of a server with two clients that have stopped counting.
func (b *bench) memory() error {
	pairs, err := b.pairs(overWebSocket, goServer, node, packages, bare, flask, threading)
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
	var own []string
	for _, p := range pairs {
		if v[p.name], err = p.server.memory(); err != nil {
			return err
		}
		anonymous, err := p.server.ownMemory()
		if err != nil {
			return err
		}
		own = append(own, p.head+" "+megabytes(anonymous))
	}
	b.notes = append(b.notes, "Of the memory at rest, without the pages of the program's files, which the kernel can drop: "+strings.Join(own, ", ")+".")
	b.table.row("memory at rest, two clients (RSS)", megabytes, v, nil, v.below(16, " MB", 1e6), v.against(flask, "Flask", true, 0.5))
	return end(pairs)
}
