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
	// maxLogLines is how many log lines may be queued.
	maxLogLines = 2048
	// logWindow is the time to which these limits apply: maxLinesPerSession to the
	// lines about one session and to the errors of one game, maxLinesInAll to all lines.
	// Other errors and the lines of accepted numbers do not count.
	logWindow          = 10 * time.Second
	maxLinesPerSession = 20
	maxLinesInAll      = 200
	// logChunk is how much text is collected for one write.
	logChunk = 32 << 10
)

// logQueue is a slog.Handler that never blocks: it queues records, which one goroutine
// formats and writes. Records that do not fit into the queue or exceed the limits on
// log lines are dropped and counted.
type logQueue struct {
	format  slog.Handler // writes to text
	text    *logText
	records chan slog.Record
	stopped chan struct{} // closed by Close
	written chan struct{} // closed when everything queued before Close is written

	mu         sync.Mutex
	began      time.Time // of the window
	lines      int
	about      map[subject]int // lines
	suppressed int             // by the limit on all lines
	dropped    int64           // not yet logged
	total      int64           // dropped and suppressed since the start
}

// A subject is a session, or for errors the whole game, that has a limit of its own.
type subject struct{ session, game string }

// logText collects the lines of a chunk. Only run uses it.
type logText struct{ b []byte }

func (t *logText) Write(line []byte) (int, error) {
	t.b = append(t.b, line...)
	return len(line), nil
}

// newLogQueue returns a handler that formats records with format and writes them to w.
// Close ends its goroutine.
func newLogQueue(w io.Writer, format func(io.Writer) slog.Handler) *logQueue {
	q := &logQueue{
		text:    new(logText),
		records: make(chan slog.Record, maxLogLines),
		stopped: make(chan struct{}),
		written: make(chan struct{}),
		about:   make(map[subject]int),
	}
	q.format = format(q.text)
	go q.run(w)
	return q
}

// Dropped returns how many lines were dropped or suppressed so far.
func (q *logQueue) Dropped() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total
}

// Close waits until everything queued is written, or ctx ends. What is logged later is
// dropped.
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
		q.enqueue(r)
	}
	return nil
}

// WithAttrs and WithGroup return the handler unchanged: this program passes attributes
// with each line.
func (q *logQueue) WithAttrs([]slog.Attr) slog.Handler { return q }
func (q *logQueue) WithGroup(string) slog.Handler      { return q }

// enqueue queues a record. The caller holds q.mu.
func (q *logQueue) enqueue(r slog.Record) {
	select {
	case q.records <- r:
	default:
		q.dropped++
		q.total++
	}
}

// allow reports whether a line is within the limits. The caller holds q.mu.
func (q *logQueue) allow(r slog.Record) bool {
	var about subject
	number := false
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "session":
			about.session = a.Value.String()
		case gameKey:
			about.game = a.Value.String()
		case "number", "numbers":
			number = true
		}
		return true
	})
	switch {
	case number && r.Level == slog.LevelInfo, r.Level >= slog.LevelError && about.game == "":
		return true
	case r.Level >= slog.LevelError: // clients that reconnect repeat it
		about.session = ""
	case about.session == "":
		about.game = ""
	}
	q.rotate(r.Time)
	limited := about != subject{}
	if limited && q.about[about] >= maxLinesPerSession {
		q.about[about]++
		q.total++
		return false
	}
	if q.lines >= maxLinesInAll {
		q.suppressed++
		q.total++
		return false
	}
	if limited {
		q.about[about]++
	}
	q.lines++
	return true
}

// rotate begins the next window when the last one is over, and logs how many lines were
// suppressed in it. The caller holds q.mu.
func (q *logQueue) rotate(now time.Time) {
	if now.Sub(q.began) < logWindow {
		return
	}
	more := func(n int, what string, attrs ...any) {
		r := slog.NewRecord(now, slog.LevelWarn, fmt.Sprintf("and %s more lines%s", thousands(n), what), 0)
		r.Add(attrs...)
		q.enqueue(r)
	}
	for about, n := range q.about {
		if n <= maxLinesPerSession {
			continue
		}
		what, attrs := " about a session", []any{"session", about.session}
		if about.session == "" {
			what, attrs = " about this game", nil
		}
		if about.game != "" {
			attrs = append(attrs, gameKey, about.game)
		}
		more(n-maxLinesPerSession, what, attrs...)
	}
	if q.suppressed > 0 {
		more(q.suppressed, "")
	}
	q.began, q.lines, q.suppressed = now, 0, 0
	clear(q.about)
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
			q.rotate(now)
			q.mu.Unlock()
		case <-q.stopped:
			for len(q.records) > 0 {
				q.write(w, <-q.records)
			}
			return
		}
	}
}

// write writes a record and the queued ones after it, up to a chunk, preceded by the
// number of dropped records.
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
	w.Write(q.text.b) // there is nowhere to report an error
}

// thousands writes n with commas.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
