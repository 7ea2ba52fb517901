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
	mu      sync.Mutex
	text    []byte    // in faithful mode
	last    int64     // the number of the last line that was added
	taken   int64     // the number of the last line that was taken
	since   time.Time // when the oldest queued line was added
	closed  bool
	work    func() // set by start
	working bool   // a goroutine runs work, or has found the queue closed
	writing int64  // how many numbers the last take returned; not used in faithful mode
	gather  gathering
}

// start sets the function that a goroutine runs when the queue is filled or closed. It
// must call take until that returns nil.
func (q *queue) start(work func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.work = work
	q.run()
}

// run starts a goroutine, unless there is one or nothing to do. An idle file has none.
// The caller holds q.mu.
func (q *queue) run() {
	if q.work != nil && !q.working && (q.closed || q.last > q.taken && !q.gathers()) {
		q.working = true
		go q.work()
	}
}

// gathers reports whether what is queued waits for more. Then run is called later. The
// caller holds q.mu.
func (q *queue) gathers() bool { return q.gather.wait(q.last-q.taken, q.late) }

// late is called when a wait may have timed out.
func (q *queue) late() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gather.timeout() {
		q.run()
	}
}

// wrote is called when what take has returned is written, and how long that took.
func (q *queue) wrote(took time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.writing > 0 {
		q.gather.wrote(q.writing, q.last-q.taken, took)
	}
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
	}
	q.last += lines
	q.run()
}

// take returns the lines that are queued, in a buffer, with the number of the last one and
// the time when the oldest was added. If there are none, or they wait for more, text is
// nil, work must return, and closed tells whether the queue is closed, so that work is not
// run again.
func (q *queue) take(buffer func() *[]byte) (text *[]byte, last int64, since time.Time, closed bool) {
	q.mu.Lock()
	if q.last == q.taken || !q.closed && q.gathers() {
		defer q.mu.Unlock()
		q.working = q.closed
		return nil, 0, time.Time{}, q.closed
	}
	text = buffer()
	first, lines := q.taken+1, len(q.text) > 0
	since = q.since
	if lines {
		*text, q.text = q.text, *text
		q.taken = q.last
	} else {
		q.taken = min(q.last, q.taken+batch)
		q.writing = q.taken - first + 1
	}
	last = q.taken
	q.mu.Unlock()
	if !lines {
		for n := first; n <= last; n++ {
			*text = append(spelling.Append(*text, n), '\n')
		}
	}
	return text, last, since, false
}

// close closes the queue. What is in it can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.run()
}
