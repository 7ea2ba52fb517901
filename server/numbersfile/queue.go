package numbersfile

import (
	"fmt"
	"sync"
	"time"

	"counting/server/spelling"
)

// batch is how many numbers are taken at once: some 300 kB of lines.
const batch = 4096

// queue holds what waits to be written: in the default mode the numbers up to
// one, which are spelled as they are taken, in faithful mode lines, as one text.
type queue struct {
	mu     sync.Mutex
	filled sync.Cond // there is something, or the queue is closed
	text   []byte    // in faithful mode
	last   int64     // the number of the last line that was added
	taken  int64     // the number of the last line that was taken
	since  time.Time // when the first that waits was added
	closed bool
}

// addUpTo adds the numbers up to that one.
func (q *queue) addUpTo(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	if n <= q.last {
		panic(fmt.Sprintf("numbersfile: %d is appended after %d", n, q.last))
	}
	q.added(n - q.last)
}

// addLine adds a line.
func (q *queue) addLine(line string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.text = append(append(q.text, line...), '\n')
	q.added(1)
}

func (q *queue) added(lines int64) {
	if q.last == q.taken {
		q.since = time.Now()
		q.filled.Signal()
	}
	q.last += lines
}

// take waits for lines and returns those that there are, in a buffer, with the
// number of the last and since when the first has waited; false once the queue is
// closed and empty.
func (q *queue) take(buffer func() *[]byte) (text *[]byte, last int64, since time.Time, ok bool) {
	q.mu.Lock()
	for q.last == q.taken {
		if q.closed {
			q.mu.Unlock()
			return nil, 0, time.Time{}, false
		}
		q.filled.Wait()
	}
	text = buffer()
	first, lines := q.taken+1, len(q.text) > 0
	since = q.since
	if lines {
		*text, q.text = q.text, *text
		q.taken = q.last
	} else {
		q.taken = min(q.last, q.taken+batch)
	}
	last = q.taken
	q.mu.Unlock()
	if !lines {
		for n := first; n <= last; n++ {
			*text = append(spelling.Append(*text, n), '\n')
		}
	}
	return text, last, since, true
}

// close ends the queue: what is in it can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}
