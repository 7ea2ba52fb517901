package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"counting/compat-tests/manygames"
)

// manyGames measures two clients in each of many games: the time to an ack, compared with
// the bare packages under the same load, and the cost of a game. Then the server is
// killed, and all files are verified.
func (b *bench) manyGames() error {
	for item := range strings.SplitSeq(b.games, ",") {
		var games, each int
		if n, err := fmt.Sscanf(item, "%dx%d", &games, &each); n != 2 || games < 1 || each < 1 {
			return fmt.Errorf("-games has %q, which is not like 1000x10: %w", item, err)
		}
		if err := b.countIn(games, each); err != nil {
			return fmt.Errorf("%d games: %w", games, err)
		}
	}
	return nil
}

func (b *bench) countIn(games, each int) error {
	// Without a limit on games the server reserves a quarter of its files for them.
	if most := mostClients(mostFiles()/4) / 2; games > most {
		b.notes = append(b.notes, fmt.Sprintf("%d games are more than the limit of open files allows, so the row has %d.", games, most))
		games = most
	}
	p50, p99, loads := make(values), make(values), make(values)
	costs, memory := make(values), make(values)
	for _, name := range b.measured(goServer, packages) {
		c, err := b.countOn(name, games, time.Second/time.Duration(each))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		p50[name], p99[name], loads[name] = c.P50.Seconds(), c.P99.Seconds(), c.load
		costs[name], memory[name] = c.cpu/float64(games), c.memory/float64(games)
		if name == goServer {
			b.notes = append(b.notes, fmt.Sprintf("%d games, %d numbers/s each: %d numbers/s were acked, %d numbers were still pending; the load sent 99 %% of the numbers less than %s late, which is included in the times above. At the same time, one fdatasync every %v of a file of its own took %s (p50) and %s (p99) from when it was due, which the disk allows at best. After kill -9 all files were unbroken counts with everything that was acked: %d numbers.",
				games, 2*each, int(float64(c.Acked)/measuredTime(b).Seconds()), c.Pending, milliseconds(c.Late.Seconds()),
				probeInterval, milliseconds(percentile(c.syncs, 50)), milliseconds(percentile(c.syncs, 99)), c.written))
		}
	}
	what := fmt.Sprintf("%d games, two clients in each, each at %d numbers/s, -log-level warn: due to ack, p50", games, each)
	b.table.row(what, milliseconds, p50, loads)
	var limit []bound
	if games <= 1000 {
		limit = p99.below(20, " ms", 1e-3)
	}
	b.table.row("the same: p99", milliseconds, p99, loads, limit)
	b.table.row("the same: CPU time of the server per game and second", milliseconds, costs, nil)
	b.table.row("the same: memory for each game with its two sessions (RSS without files)", kilobytes, memory, nil)
	return nil
}

// counted is the result of countOn.
type counted struct {
	manygames.Result
	load    float64   // cores that the load used
	cpu     float64   // CPU seconds of the server per second
	memory  float64   // of the games, in bytes
	written int64     // numbers in the files
	syncs   []float64 // of probe
}

func (b *bench) countOn(name string, games int, interval time.Duration) (c counted, err error) {
	var flags []string
	if name == goServer {
		flags = []string{"-max-games", "0", "-log-level", "warn"}
	}
	s, err := b.start(name, flags...)
	if err != nil {
		return c, err
	}
	defer s.kill()
	empty, err := s.ownMemory()
	if err != nil {
		return c, err
	}
	load, err := manygames.Join(s.addr, games, interval)
	if err != nil {
		return c, err
	}
	stop, probed := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		c.syncs, err = probe(b.dir, stop)
		probed <- err
	}()
	c.Result, c.cpu, c.load, err = b.counting(s, load)
	close(stop)
	err = errors.Join(err, <-probed)
	if err == nil {
		c.memory, err = s.ownMemory()
		c.memory -= empty
	}
	load.ExpectEnd()
	s.kill()
	if closeErr := load.Close(); err == nil {
		err = closeErr
	}
	if err == nil && name == goServer {
		c.written, err = load.Verify(s.data)
	}
	return c, err
}

// measuredTime returns how long a load is measured.
func measuredTime(b *bench) time.Duration { return 3 * b.seconds }

// counting returns the result of the load, the CPU seconds of the server per second, and how
// many cores the load used.
func (b *bench) counting(s *server, load *manygames.Load) (r manygames.Result, cpu, cores float64, err error) {
	before, err := s.cpu()
	if err != nil {
		return r, 0, 0, err
	}
	if err := b.profile(s, syscall.SIGUSR1); err != nil {
		return r, 0, 0, err
	}
	began := time.Now()
	cores, err = loading(func() (err error) {
		r, err = load.Count(context.Background(), b.seconds, measuredTime(b))
		return err
	})
	if err != nil {
		return r, 0, 0, err
	}
	after, err := s.cpu()
	if err == nil {
		err = b.profile(s, syscall.SIGUSR2)
	}
	return r, (after - before).Seconds() / time.Since(began).Seconds(), cores, err
}
