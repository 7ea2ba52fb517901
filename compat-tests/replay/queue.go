package replay

import (
	"context"
	"sync"
	"time"

	"counting/compat-tests/recording"
)

// A queue holds what a server did until it is asked for.
type queue struct {
	mu    sync.Mutex
	lines []recording.Line
	ready chan struct{} // has something in it when lines may have
}

func (q *queue) put(l recording.Line) {
	q.mu.Lock()
	q.lines = append(q.lines, l)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take returns the next line, and waits for it if there is none.
func (q *queue) take(ctx context.Context, wait time.Duration) (recording.Line, bool) {
	timeout := time.After(wait)
	for {
		if l, ok := q.pop(); ok {
			return l, true
		}
		select {
		case <-q.ready:
		case <-timeout:
			return q.pop()
		case <-ctx.Done():
			return recording.Line{}, false
		}
	}
}

func (q *queue) pop() (recording.Line, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) == 0 {
		return recording.Line{}, false
	}
	l := q.lines[0]
	q.lines = q.lines[1:]
	return l, true
}
