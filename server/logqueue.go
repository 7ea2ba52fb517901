package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

const (
	// maxLogLines is how many log lines may wait to be written.
	maxLogLines = 2048
	// logWindow is the time for which log lines are counted against these
	// limits: on the lines about one session, on the errors of one game, and on all
	// lines. Other errors do not count, nor does what is logged once for each number
	// that is taken.
	logWindow          = 10 * time.Second
	maxLinesPerSession = 20
	maxLinesInAll      = 200
	// logChunk is how much text is collected for one write.
	logChunk = 32 << 10
)

// logQueue is a slog.Handler that never waits: it puts records into a queue,
// from which one goroutine has them formatted and written. What does not fit is
// dropped and counted, and so is what goes over the limits on log lines.
type logQueue struct {
	format  slog.Handler // writes to text
	text    *logText
	records chan slog.Record
	stopped chan struct{} // closed by Close
	written chan struct{} // closed when all that was queued then is written

	mu      sync.Mutex
	began   time.Time // of the window
	lines   int
	session map[string]int // lines, by session
	left    int            // suppressed by the limit on all lines
	dropped int64          // not yet logged
	total   int64          // dropped and suppressed, ever
}

// logText collects the lines of a chunk. Only the goroutine uses it.
type logText struct{ b []byte }

func (t *logText) Write(line []byte) (int, error) {
	t.b = append(t.b, line...)
	return len(line), nil
}

// newLogQueue returns a handler that writes to w what format makes of records.
// Close ends its goroutine.
func newLogQueue(w io.Writer, format func(io.Writer) slog.Handler) *logQueue {
	q := &logQueue{
		text:    new(logText),
		records: make(chan slog.Record, maxLogLines),
		stopped: make(chan struct{}),
		written: make(chan struct{}),
		session: make(map[string]int),
	}
	q.format = format(q.text)
	go q.run(w)
	return q
}

// Dropped returns how many lines were left out so far.
func (q *logQueue) Dropped() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total
}

// Close has what waits written, for as long as ctx lasts. What is logged after
// that is dropped.
func (q *logQueue) Close(ctx context.Context) {
	close(q.stopped)
	select {
	case <-q.written:
	case <-ctx.Done():
	}
}

func (q *logQueue) Enabled(ctx context.Context, level slog.Level) bool {
	return q.format.Enabled(ctx, level)
}

func (q *logQueue) Handle(_ context.Context, r slog.Record) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.allow(r) {
		q.put(r)
	}
	return nil
}

// WithAttrs and WithGroup return the handler itself: each line brings its own
// attributes.
func (q *logQueue) WithAttrs([]slog.Attr) slog.Handler { return q }
func (q *logQueue) WithGroup(string) slog.Handler      { return q }

// put queues a record. The caller holds the lock.
func (q *logQueue) put(r slog.Record) {
	select {
	case q.records <- r:
	default:
		q.dropped++
		q.total++
	}
}

// allow tells whether a line is within the limits. The caller holds the lock.
func (q *logQueue) allow(r slog.Record) bool {
	session, game, number := "", "", false
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "session":
			session = a.Value.String()
		case gameKey:
			game = a.Value.String()
		case "number":
			number = true
		}
		return true
	})
	switch {
	case number && r.Level == slog.LevelInfo, r.Level >= slog.LevelError && game == "":
		return true
	case r.Level >= slog.LevelError: // its clients come again and again
		session = gameKey + " " + game
	}
	q.turn(r.Time)
	if session != "" {
		if q.session[session] >= maxLinesPerSession {
			q.session[session]++
			q.total++
			return false
		}
	}
	if q.lines >= maxLinesInAll {
		q.left++
		q.total++
		return false
	}
	if session != "" {
		q.session[session]++
	}
	q.lines++
	return true
}

// turn begins the next window if it is time, and logs what was suppressed in
// the last one. The caller holds the lock.
func (q *logQueue) turn(now time.Time) {
	if now.Sub(q.began) < logWindow {
		return
	}
	more := func(n int, what string, attrs ...any) {
		r := slog.NewRecord(now, slog.LevelWarn, fmt.Sprintf("and %s more lines%s", thousands(n), what), 0)
		r.Add(attrs...)
		q.put(r)
	}
	for session, n := range q.session {
		if n > maxLinesPerSession {
			more(n-maxLinesPerSession, " about a session", "session", session)
		}
	}
	if q.left > 0 {
		more(q.left, "")
	}
	q.began, q.lines, q.left = now, 0, 0
	clear(q.session)
}

// run writes until Close.
func (q *logQueue) run(w io.Writer) {
	defer close(q.written)
	ticks := time.NewTicker(logWindow / 10)
	defer ticks.Stop()
	for {
		select {
		case r := <-q.records:
			q.write(w, r)
		case now := <-ticks.C:
			q.mu.Lock()
			q.turn(now)
			q.mu.Unlock()
		case <-q.stopped:
			for len(q.records) > 0 {
				q.write(w, <-q.records)
			}
			return
		}
	}
}

// write writes a record and those that are queued after it, up to a chunk, and
// before them how many were dropped.
func (q *logQueue) write(w io.Writer, r slog.Record) {
	q.text.b = q.text.b[:0]
	q.mu.Lock()
	dropped := q.dropped
	q.dropped = 0
	q.mu.Unlock()
	if dropped > 0 {
		text := fmt.Sprintf("%s log lines were dropped: they were not read fast enough", thousands(int(dropped)))
		q.format.Handle(context.Background(), slog.NewRecord(time.Now(), slog.LevelWarn, text, 0))
	}
	for {
		q.format.Handle(context.Background(), r)
		if len(q.text.b) >= logChunk {
			break
		}
		select {
		case r = <-q.records:
			continue
		default:
		}
		break
	}
	w.Write(q.text.b) // if nobody can read it, there is nobody to tell
}

// thousands writes n with commas.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
