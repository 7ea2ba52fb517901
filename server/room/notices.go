package room

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"counting/server/game"
	"counting/server/protocol"
	"counting/server/spelling"
)

// An Observer is notified of what happens in a room, in order and with some delay, by one
// goroutine at a time. While one of its methods blocks, notices queue up, and are dropped
// when the queue is full.
type Observer interface {
	// Happened reports an effect that describes what happened, such as game.Seated. It is
	// not called for game.Received: Written reports accepted numbers when they are stored.
	Happened(effect game.Effect)
	// Written reports the numbers of the lines that were written to the file,
	// and how long the oldest of them had waited for that.
	Written(numbers []float64, took time.Duration)
	// Storage reports that writing the file has begun to fail, or works again
	// if err is nil.
	Storage(err error)
	// Missed reports that n calls of Happened and Storage were dropped just before,
	// and which seats are taken now. Calls of Written were dropped only in faithful mode,
	// after those for maxNotices lines.
	Missed(n int64, taken []protocol.Seat)
}

// maxNotices is how many notices may be queued.
const maxNotices = 8192

// maxWritten is the most lines that one call of Written reports.
const maxWritten = 1024

// maxNumberLines is how many accepted numbers of a game are logged in a second. The
// original was seen to accept up to 4,543. More lines would only push the other ones out
// of the log.
const maxNumberLines = 5000

// reportDelay is how long notices are gathered, at least, before they are reported. If a
// goroutine reported each of them immediately, it would take the processor that is about
// to store a number: a client that waits for each ack would wait a third longer.
const reportDelay = time.Millisecond

// maxSpare is the longest queue that is kept for the next notices.
const maxSpare = 1024

// A numberLog bounds the log lines of accepted numbers. Room.mu guards it.
type numberLog struct {
	began time.Time // the second, with its first number
	count int64     // of numbers
}

// isOver reports whether the second of the last number is over.
func (l *numberLog) isOver(now time.Time) bool { return now.Sub(l.began) >= time.Second }

// allow reports whether the line of a number is to be logged. It calls over after the
// second of the first one that is not.
func (l *numberLog) allow(now time.Time, over func()) bool {
	if l.isOver(now) {
		l.began, l.count = now, 0
	}
	if l.count++; l.count == maxNumberLines+1 {
		time.AfterFunc(time.Second-now.Sub(l.began), over)
	}
	return l.count <= maxNumberLines
}

// A notice is one thing to report.
type notice struct {
	event  any     // a game.Effect, lines, storage, dismissed, cutOff or unlogged
	member *member // whom it is about, or nil
}

// lines are lines that were written. In default mode line n is the number n.
type lines struct {
	from, to int64
	numbers  []float64 // in faithful mode
	took     time.Duration
}

// storage is whether the file can be written.
type storage struct{ err error }

// Events of the room itself, which are only logged.
type (
	dismissed struct{}
	cutOff    struct{ reason string }
	unlogged  int64 // this many accepted numbers have no line of their own
)

// notices is the queue. Room.mu guards it.
type notices struct {
	queue  []notice
	late   lines // written since the queue was full; none if to is 0
	missed int64 // not yet reported by Observer.Missed
	total  int64
}

// add adds a notice, unless the queue is full.
func (q *notices) add(n notice) {
	if len(q.queue) >= maxNotices {
		q.missed++
		q.total++
		return
	}
	q.queue = append(q.queue, n)
}

// written adds lines. When the queue is full, they are merged.
func (q *notices) written(from, to int64, numbers []float64, took time.Duration) {
	late := &q.late
	switch {
	case len(q.queue) < maxNotices:
		q.queue = append(q.queue, notice{event: lines{from, to, numbers, took}})
	case late.to == 0:
		*late = lines{from, to, numbers, took}
	case len(late.numbers) >= maxNotices: // in faithful mode
		q.missed++
		q.total++
	default:
		late.to, late.took = to, max(late.took, took)
		late.numbers = append(late.numbers, numbers...)
	}
}

// startReporting has a goroutine notify the observers and write the log, unless that is
// about to happen or there is nothing to report or to finish. A room in which nothing
// happens has no goroutine. The caller holds r.mu.
func (r *Room) startReporting() {
	if r.reporting || len(r.notices.queue) == 0 && r.finished == nil {
		return
	}
	r.reporting = true
	delay := reportDelay
	if r.finished != nil {
		delay = 0
	}
	time.AfterFunc(delay, r.report)
}

// report reports what is queued.
func (r *Room) report() {
	r.mu.Lock()
	batch := r.notices
	if len(batch.queue) == 0 { // only Finish starts it without notices; this is the last call
		r.mu.Unlock()
		close(r.finished)
		return
	}
	var taken []protocol.Seat
	if batch.missed > 0 {
		taken = r.rules.Taken()
	}
	r.notices = notices{queue: r.spare, total: batch.total}
	r.spare = nil
	r.mu.Unlock()

	now := time.Now()
	for i, n := range batch.queue {
		r.notify(n, now)
		batch.queue[i] = notice{}
	}
	if batch.late.to > 0 {
		r.notifyWritten(batch.late)
	}
	if batch.missed > 0 {
		for _, o := range r.Observers {
			o.Missed(batch.missed, taken)
		}
		r.Log.Warn(fmt.Sprintf("%d events were not logged: the queue of notices was full.", batch.missed))
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	if cap(batch.queue) <= maxSpare {
		r.spare = batch.queue[:0]
	}
	r.reporting = false
	r.startReporting()
}

// Finish returns a channel that is closed when the observers and the log have everything
// that had happened when Finish was first called. They are not told of what happens after
// the channel is closed.
func (r *Room) Finish() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.finished == nil {
		r.finished = make(chan struct{})
		r.logUnlogged()
		r.startReporting()
	}
	return r.finished
}

// hasLine reports whether the number that was accepted now has a line in the log. The
// caller holds r.mu.
func (r *Room) hasLine(now time.Time) bool {
	if !r.Log.Enabled(context.Background(), slog.LevelInfo) {
		return false
	}
	if r.numbers.isOver(now) {
		r.logUnlogged()
	}
	return r.numbers.allow(now, r.secondOver)
}

// secondOver is called after a second with more numbers than the log has lines for.
func (r *Room) secondOver() {
	r.do(func() {
		if r.numbers.isOver(time.Now()) {
			r.logUnlogged()
		}
	})
}

// logUnlogged logs how many numbers were not logged. The caller holds r.mu.
func (r *Room) logUnlogged() {
	if n := r.numbers.count - maxNumberLines; n > 0 {
		r.notices.add(notice{event: unlogged(n)})
	}
	r.numbers.count = 0
}

// Missed returns how many notices were dropped because the queue was full.
func (r *Room) Missed() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.notices.total
}

func (r *Room) notify(n notice, now time.Time) {
	switch e := n.event.(type) {
	case lines:
		r.notifyWritten(e)
		return
	case storage:
		for _, o := range r.Observers {
			o.Storage(e.err)
		}
	case game.Received: // for the log only
	case game.Effect:
		for _, o := range r.Observers {
			o.Happened(e)
		}
	}
	r.log(n, now)
}

func (r *Room) notifyWritten(l lines) {
	if l.numbers != nil {
		for _, o := range r.Observers {
			o.Written(l.numbers, l.took)
		}
		return
	}
	for from := l.from; from <= l.to; {
		numbers := make([]float64, min(maxWritten, l.to-from+1))
		for i := range numbers {
			numbers[i] = float64(from + int64(i))
		}
		for _, o := range r.Observers {
			o.Written(numbers, l.took)
		}
		from += int64(len(numbers))
	}
}

// log logs a notice. Lines that the original logs, too, have the same text, so that
// existing scripts find them.
func (r *Room) log(n notice, now time.Time) {
	write := func(level slog.Level, message func() string, attrs ...slog.Attr) {
		ctx := context.Background()
		if !r.Log.Enabled(ctx, level) {
			return
		}
		record := slog.NewRecord(now, level, message(), 0) // without the caller's position, which takes time
		record.AddAttrs(attrs...)
		if n.member != nil {
			record.AddAttrs(slog.String("session", string(n.member.id)))
			if n.member.address != "" {
				record.AddAttrs(slog.String("address", n.member.address))
			}
		}
		r.Log.Handler().Handle(ctx, record)
	}
	text := func(words ...string) func() string { return func() string { return strings.Join(words, " ") } }
	switch e := n.event.(type) {
	case storage:
		if e.err != nil {
			write(slog.LevelError, text("Cannot write the numbers file:", e.err.Error()))
		} else {
			write(slog.LevelInfo, text("The numbers file can be written again."))
		}
	case game.Seated:
		write(slog.LevelInfo, text("Client", e.Seat.String(), "connected and assigned."), slog.String("seat", e.Seat.String()))
	case game.Full:
		write(slog.LevelInfo, text("More than 2 clients attempted to connect, rejecting connection."))
	case game.Left:
		write(slog.LevelInfo, text("Client", e.Seat.String(), "disconnected."),
			slog.String("seat", e.Seat.String()), slog.Int64("counted", n.member.counted))
	case game.Alone:
		write(slog.LevelInfo, text("Waiting for another client to connect..."))
	case game.Received:
		write(slog.LevelInfo, func() string { return "Received " + spelled(e.Number) + " from " + e.Number.ClientID }, number(e.Number)...)
	case game.Repeated:
		write(slog.LevelDebug, func() string { return e.Number.ClientID + " repeated " + spelled(e.Number) }, number(e.Number)...)
	case game.Refused:
		attrs := []slog.Attr{slog.String("code", string(e.Code))}
		if e.Seat != protocol.NoSeat {
			attrs = append(attrs, slog.String("seat", e.Seat.String()))
		}
		if e.Number.Err == nil {
			attrs = append(attrs, slog.String("client_id", fmt.Sprintf("%.40s", e.Number.ClientID)), slog.Any("number", e.Number.Value))
		}
		write(slog.LevelWarn, func() string { return "Refused a number: " + e.Reason() }, attrs...)
	case dismissed:
		write(slog.LevelWarn, text("Asked a client to leave: it holds a seat and does not count."))
	case cutOff:
		write(slog.LevelWarn, text("Cut off a client:", e.reason+"."))
	case unlogged:
		write(slog.LevelInfo, text("Received more numbers, without lines:", strconv.FormatInt(int64(e), 10)), slog.Int64("numbers", int64(e)))
	}
}

func number(n game.Number) []slog.Attr {
	return []slog.Attr{slog.String("seat", n.ClientID), slog.Any("number", n.Value)}
}

// spelled returns an accepted number in words.
func spelled(n game.Number) string {
	if n.Words != "" {
		return n.Words
	}
	text, err := words(n.Value)
	if err != nil {
		return n.Value.String()
	}
	return text
}

// words returns a number in words, as Python spells it. The error wraps
// spelling.ErrRange.
func words(v protocol.Value) (string, error) {
	if n, ok := v.Int64(); ok {
		return spelling.Spell(n), nil
	}
	if n := v.Big(); n != nil {
		return spelling.SpellBig(n)
	}
	return spelling.SpellFloat(v.Float64())
}
