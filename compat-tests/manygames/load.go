// Package manygames is a load of two clients in each of many games on one server. It
// writes raw WebSocket frames, and has one goroutine for each client and one that sends
// for all, so that it costs less than the server.
package manygames

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"counting/server/numbersfile"
)

// atOnce is how many games are joined at the same time.
const atOnce = 32

// Load is two clients in each of several games. It must be used by one goroutine.
type Load struct {
	interval time.Duration
	games    []*game
	stop     chan struct{}
	counting sync.WaitGroup
	failed   chan error
	stopped  atomic.Bool
}

type game struct {
	name    string
	clients [2]*client
}

// Name returns the name of the i-th game of a load, from 0 on.
func Name(i int) string { return fmt.Sprintf("game-%d", i) }

// Join opens that many games on the server at the address, and waits until all seats are
// taken. Each client will send a number each interval. The caller must close the load.
func Join(addr string, games int, interval time.Duration) (*Load, error) {
	l := &Load{interval: interval, stop: make(chan struct{}), failed: make(chan error, 2*games)}
	for i := range games {
		l.games = append(l.games, &game{name: Name(i)})
	}
	var joining errgroup.Group
	joining.SetLimit(atOnce)
	for _, g := range l.games {
		joining.Go(func() error {
			for i := range g.clients {
				c, err := join(addr, g.name, i+1)
				if err != nil {
					return fmt.Errorf("%s: %w", g.name, err)
				}
				g.clients[i] = c
			}
			return nil
		})
	}
	if err := joining.Wait(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Result is what a load measured.
type Result struct {
	Acked   int           // numbers
	Pending int           // numbers that were due and not acked by the end
	P50     time.Duration // from when a number was due to be sent until its ack, or the end
	P99     time.Duration
	Max     time.Duration
	// Late is the 99th percentile of how late the load itself sent its numbers. It is
	// part of the times above.
	Late time.Duration
}

// Count makes all clients count, and returns what was measured in the time after the
// warm-up. The clients continue to count until Close.
//
// The clients of a game take turns, and the games are spread evenly over the interval. A
// client sends a number when it is due, even if the ones before are not acked.
func (l *Load) Count(ctx context.Context, warmUp, measured time.Duration) (Result, error) {
	start := time.Now().Add(l.interval)
	from, to := start.Add(warmUp), start.Add(warmUp+measured)
	var clients []*client
	for _, g := range l.games {
		phase := rand.N(l.interval / 2)
		for _, c := range g.clients {
			c.due = start.Add(phase)
			if c.next%2 == 0 {
				c.due = c.due.Add(l.interval / 2)
			}
			c.from, c.to = from, to
			clients = append(clients, c)
			l.counting.Go(func() { l.report(g, c.receive()) })
		}
	}
	// All have the same interval, so that their order does not change.
	slices.SortFunc(clients, func(a, b *client) int { return a.due.Compare(b.due) })
	l.counting.Go(func() { l.send(clients) })
	select {
	case err := <-l.failed:
		return Result{}, err
	case <-ctx.Done():
		return Result{}, ctx.Err()
	case <-time.After(time.Until(to.Add(l.interval))):
	}
	return l.result(), nil
}

// send sends the numbers of all clients when they are due, until Close.
func (l *Load) send(clients []*client) {
	for {
		for _, c := range clients {
			if wait := time.Until(c.due); wait > 0 {
				time.Sleep(wait)
			}
			select {
			case <-l.stop:
				return
			default:
			}
			l.report(nil, c.send(l.interval))
		}
	}
}

// report notes an error, unless it is expected.
func (l *Load) report(g *game, err error) {
	if err == nil || l.stopped.Load() {
		return
	}
	if g != nil {
		err = fmt.Errorf("%s: %w", g.name, err)
	}
	select {
	case l.failed <- err:
	default: // enough
	}
}

func (l *Load) result() (r Result) {
	var took, late []time.Duration
	now := time.Now()
	for _, g := range l.games {
		for _, c := range g.clients {
			c.mu.Lock()
			r.Acked += len(c.took)
			took, late = append(took, c.took...), append(late, c.late...)
			pending := c.sent
			for due := c.due; due.Before(c.to); due = due.Add(l.interval) { // the load is late
				pending = append(pending[:len(pending):len(pending)], due)
				late = append(late, now.Sub(due))
			}
			for _, due := range pending {
				if !due.Before(c.from) && due.Before(c.to) {
					r.Pending++
					took = append(took, now.Sub(due))
				}
			}
			c.mu.Unlock()
		}
	}
	slices.Sort(took)
	slices.Sort(late)
	if n := len(took); n > 0 {
		r.P50, r.P99, r.Max = took[n/2], took[n*99/100], took[n-1]
	}
	if n := len(late); n > 0 {
		r.Late = late[n*99/100]
	}
	return r
}

// Await waits until each client has received that many acks.
func (l *Load) Await(ctx context.Context, acks int) error {
	for _, g := range l.games {
		for _, c := range g.clients {
			for c.received() < acks {
				select {
				case err := <-l.failed:
					return err
				case <-ctx.Done():
					return fmt.Errorf("%s in %s has received %d acks: %w", c.seat, g.name, c.received(), ctx.Err())
				case <-time.After(time.Millisecond):
				}
			}
		}
	}
	return nil
}

// ExpectEnd makes Close ignore that connections end, as when the server is killed.
func (l *Load) ExpectEnd() { l.stopped.Store(true) }

// Close disconnects all clients, and returns the first error of a client.
func (l *Load) Close() error {
	l.stopped.Store(true)
	close(l.stop)
	for _, g := range l.games {
		for _, c := range g.clients {
			if c != nil {
				c.conn.Close()
			}
		}
	}
	l.counting.Wait()
	select {
	case err := <-l.failed:
		return err
	default:
		return nil
	}
}

// Verify checks that the file of each game in the data directory is an unbroken count
// and has all numbers that were acked. It returns the total of numbers. It must be
// called after Close.
func (l *Load) Verify(data string) (numbers int64, err error) {
	for _, g := range l.games {
		lines, bad, err := numbersfile.Verify(filepath.Join(data, "games", g.name, numbersfile.Name))
		if errors.Is(err, os.ErrNotExist) {
			lines, err = 0, nil
		}
		if err != nil {
			return 0, err
		}
		if bad != nil {
			return 0, fmt.Errorf("%s is not an unbroken count: %v", g.name, bad)
		}
		for _, c := range g.clients {
			if c.acked > lines {
				return 0, fmt.Errorf("in %s %d was acked, but the file ends with %d", g.name, c.acked, lines)
			}
		}
		numbers += lines
	}
	return numbers, nil
}
