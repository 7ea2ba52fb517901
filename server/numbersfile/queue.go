package numbersfile

import (
	"fmt"
	"sync"
	"time"

	"counting/server/spelling"
)

// batch is the most numbers that one take returns: about 300 kB of lines.
const batch = 4096

// queue holds what is to be written. In the default mode these are the numbers after
// taken up to last, which are spelled when they are taken; in faithful mode they are
// lines, joined into one text.
type queue struct {
	mu     sync.Mutex
	filled sync.Cond // the queue is not empty, or closed
	text   []byte    // in faithful mode
	last   int64     // the number of the last line that was added
	taken  int64     // the number of the last line that was taken
	since  time.Time // when the oldest queued line was added
	closed bool
}

// addUpTo adds the numbers up to n.
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

// take waits for lines and returns those that are queued, in a buffer, with the
// number of the last one and the time when the oldest was added. It returns false
// once the queue is closed and empty.
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

// close closes the queue. What is in it can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}
