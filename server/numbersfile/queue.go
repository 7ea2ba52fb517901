package numbersfile

import "sync"

// queue holds the lines that wait to be written, as one text. It has two
// buffers that change places: one is filled while the other is written.
type queue struct {
	mu     sync.Mutex
	filled sync.Cond // there is text, or the queue is closed
	text   []byte
	last   int64 // the number of the last line that was added
	closed bool
}

// add adds a line and returns its number, or 0 if the queue is closed.
func (q *queue) add(line string) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0
	}
	if len(q.text) == 0 {
		q.filled.Signal()
	}
	q.text = append(append(q.text, line...), '\n')
	q.last++
	return q.last
}

// take waits for lines and returns all that there are and the number of the
// last; false once the queue is closed and empty. It takes over the buffer
// used, which may be what it returned before.
func (q *queue) take(used []byte) (text []byte, last int64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.text) == 0 {
		if q.closed {
			return nil, 0, false
		}
		q.filled.Wait()
	}
	text, q.text = q.text, used[:0]
	return text, q.last, true
}

// close ends the queue: what is in it can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}
