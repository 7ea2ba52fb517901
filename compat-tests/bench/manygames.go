package main

import (
	"context"
	"fmt"
	"time"

	"counting/compat-tests/manygames"
)

// manyGames measures two clients at 10 numbers/s in each of many games: how long
// their acks take, and what a game costs. Then the server is killed, and all files
// must be whole.
func (b *bench) manyGames() error {
	if len(b.measured(goServer)) == 0 {
		return nil
	}
	for _, games := range []int{10, 100, 1000, 5000} {
		if err := b.countIn(games); err != nil {
			return fmt.Errorf("%d games: %w", games, err)
		}
	}
	return nil
}

func (b *bench) countIn(games int) error {
	const interval = 100 * time.Millisecond
	if err := enoughFiles(3*games + 100); err != nil {
		return err
	}
	s, err := b.start(goServer, "-max-games", "0", "-log-level", "warn")
	if err != nil {
		return err
	}
	defer s.kill()
	empty, err := s.memory()
	if err != nil {
		return err
	}
	load, err := manygames.Join(s.addr, games, interval)
	if err != nil {
		return err
	}
	result, cpu, cores, err := b.counting(s, load)
	var memory float64
	if err == nil {
		memory, err = s.memory()
	}
	load.Expect()
	s.kill()
	if closeErr := load.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	numbers, err := load.Verify(s.data)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d games, two clients each at 10 numbers/s, -log-level warn: due to ack, p50", games)
	loads := values{goServer: cores}
	b.table.row(what, milliseconds, values{goServer: result.P50.Seconds()}, loads)
	p99 := values{goServer: result.P99.Seconds()}
	var limit []bound
	if games <= 1000 {
		limit = p99.below(20, " ms", 1e-3)
	}
	b.table.row("the same: p99", milliseconds, p99, loads, limit)
	b.table.row("the same: processor of the server for each game", milliseconds, values{goServer: cpu / float64(games)}, nil)
	b.table.row("the same: memory for each game with its two sessions (RSS)", kilobytes, values{goServer: (memory - empty) / float64(games)}, nil)
	b.notes = append(b.notes, fmt.Sprintf("%d games: %d numbers/s were acked, %d of the numbers were not yet; 99 %% were sent less than %s late by the load, which is part of the times above. After kill -9 all files were unbroken, with everything acked in them: %d numbers.",
		games, int(float64(result.Acked)/measuredTime(b).Seconds()), result.Pending, milliseconds(result.Late.Seconds()), numbers))
	return nil
}

// measuredTime is how long a load is measured.
func measuredTime(b *bench) time.Duration { return 3 * b.seconds }

// counting returns what the load measures, with the time that the server computes
// in a second, and how many cores the load uses.
func (b *bench) counting(s *server, load *manygames.Load) (r manygames.Result, cpu, cores float64, err error) {
	before, err := s.cpu()
	if err != nil {
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
	return r, (after - before).Seconds() / time.Since(began).Seconds(), cores, err
}
