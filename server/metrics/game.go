package metrics

import (
	"slices"
	"sync"
	"time"

	"counting/server/game"
	"counting/server/protocol"
)

// Game adds the events of one game to the metrics of the server. It is an observer of
// the game's room. Its methods may be called concurrently and do not block.
type Game struct {
	m *Metrics

	mu      sync.Mutex
	goal    float64
	last    float64
	taken   map[protocol.Seat]bool
	failing bool
	closed  bool
}

// Open adds a game with that goal that continues after the number last. at is when last
// was written, or the zero time if that is unknown. The caller must Close the game.
func (m *Metrics) Open(goal, last int64, at time.Time) *Game {
	g := &Game{m: m, goal: float64(goal), last: float64(last), taken: make(map[protocol.Seat]bool)}
	m.goal.Add(g.goal)
	m.last.Add(g.last)
	if !at.IsZero() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if at.After(m.latest) {
			m.latest = at
			m.lastAt.Set(seconds(at))
		}
	}
	return g
}

// Close removes the game from the sums over the open games.
func (g *Game) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.seats(nil)
	g.fail(false)
	g.m.goal.Sub(g.goal)
	g.m.last.Sub(g.last)
	g.closed = true
}

// Happened counts repetitions and refusals, and records which seats are taken.
func (g *Game) Happened(effect game.Effect) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch e := effect.(type) {
	case game.Repeated:
		g.m.repeated.WithLabelValues(label(protocol.SeatNamed(e.Number.ClientID))).Inc()
	case game.Refused:
		g.m.refused.WithLabelValues(string(e.Code)).Inc()
	case game.Seated:
		g.seat(e.Seat, true)
	case game.Left:
		g.seat(e.Seat, false)
	}
}

// Written counts the numbers of a batch.
func (g *Game) Written(numbers []float64, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var counted protocol.BySeat[int]
	for _, n := range numbers {
		counted[seatOf(n)]++
	}
	for seat, n := range counted {
		if n > 0 {
			g.m.written.WithLabelValues(label(protocol.Seat(seat))).Add(float64(n))
		}
	}
	if n := len(numbers); n > 0 {
		if !g.closed {
			g.m.last.Add(numbers[n-1] - g.last)
		}
		g.last = numbers[n-1]
	}
	g.m.lastAt.Set(seconds(time.Now()))
	g.m.appended.Observe(took.Seconds())
}

// Storage records whether the file can be written.
func (g *Game) Storage(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fail(err != nil)
}

// Missed counts dropped notices, and records which seats are taken.
func (g *Game) Missed(n int64, taken []protocol.Seat) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.m.missed.Add(float64(n))
	g.seats(taken)
}

// The following must be called with g.mu held.

func (g *Game) seats(taken []protocol.Seat) {
	for _, seat := range protocol.Seats {
		g.seat(seat, slices.Contains(taken, seat))
	}
}

func (g *Game) seat(seat protocol.Seat, taken bool) {
	if !g.closed && g.taken[seat] != taken {
		g.taken[seat] = taken
		g.m.taken.WithLabelValues(seat.String()).Add(change(taken))
	}
}

func (g *Game) fail(failing bool) {
	if !g.closed && g.failing != failing {
		g.failing = failing
		g.m.failing.Add(change(failing))
	}
}

// change returns by how much a gauge changes.
func change(more bool) float64 {
	if more {
		return 1
	}
	return -1
}
