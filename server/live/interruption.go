package live

import (
	"slices"
	"time"
)

const (
	// tallyPause is the length from which an interruption starts a new tally.
	tallyPause = time.Hour
	// The count stalls if both clients are connected and no number has arrived for
	// stallFactor times the usual gap and at least minStall, or, while the usual gap is
	// unknown, for unknownStall.
	minStall     = 5 * time.Second
	stallFactor  = 3
	unknownStall = time.Minute
)

// pace determines the usual time from one line to the next. It is the second longest of
// the latest gaps: clients that count at the same time cause a short gap for each long
// one, and the longest gap may be exceptional.
type pace struct {
	gaps []time.Duration
}

func (p *pace) add(gap time.Duration) { p.gaps = latest(append(p.gaps, gap), 20) }

// usual returns the usual gap, or 0 if there are too few gaps.
func (p *pace) usual() time.Duration {
	if len(p.gaps) < 6 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(p.gaps))
	return sorted[len(sorted)-2]
}

// stalled reports whether a time without a number is a stall.
func (p *pace) stalled(still time.Duration) bool {
	if still <= minStall { // nearly always
		return false
	}
	usual := p.usual()
	if usual == 0 {
		return still > unknownStall
	}
	return still > stallFactor*usual
}

// The following must be called with f.mu held.

// interrupt records that the count is interrupted, unless it is interrupted already or
// has reached its goal.
func (f *Feed) interrupt(cause Cause, now time.Time) {
	s := &f.state
	if s.Interruption != nil || f.done() || s.Count == 0 && cause != CauseStall {
		return
	}
	f.lastInterruption++
	s.Interruption = &Interruption{ID: f.lastInterruption, Cause: cause, At: now, After: now}
	if !f.lastAt.IsZero() {
		s.Interruption.After = f.lastAt
	}
	f.send("interruption", s.Interruption)
	f.changed = true
}

// resume ends the current interruption, if any, at its first line. A number that the
// remaining client had sent before it was notified that the other one has left does not
// end the interruption; it counts as the last one before it.
func (f *Feed) resume(line int64, now time.Time) {
	s := &f.state
	if s.Interruption == nil {
		return
	}
	if c := s.Interruption.Cause; !s.Running && (c == CauseClient1 || c == CauseClient2) {
		i := *s.Interruption // snapshots have the old one
		i.After = now
		s.Interruption = &i
		f.send("interruption", &i)
		f.changed = true
		return
	}
	over := *s.Interruption
	s.Interruption = nil
	over.Line = line
	over.Seconds = max(now.Sub(over.After).Seconds(), 0.001)
	s.Interruptions = latest(append(s.Interruptions, over), keptInterruptions)
	if over.Seconds > tallyPause.Seconds() {
		f.startTally(now)
	} else {
		s.Tally.Interruptions++
		s.Tally.Longest = max(s.Tally.Longest, over.Seconds)
		s.Tally.Total += over.Seconds
	}
	f.send("interruption", over)
	f.note(Activity{Type: CountResumed, At: now, Seconds: over.Seconds})
	f.changed = true
	if f.interrupted != nil {
		f.interrupted(over)
	}
}

func (f *Feed) startTally(now time.Time) {
	f.state.Tally = Tally{Since: now}
	for i := range f.state.Seats {
		f.state.Seats[i].Times = 0
		if f.state.Seats[i].Taken {
			f.state.Seats[i].Times = 1
		}
	}
}

// detectStall records a stall. If the process itself was stopped for most of the time,
// the cause is the server.
func (f *Feed) detectStall(now time.Time) {
	stopped := now.Sub(f.watched)
	if f.watched.IsZero() {
		stopped = 0
	}
	f.watched = now
	s := &f.state
	if !s.Running || s.Storage != nil {
		return
	}
	since := s.Since
	if f.lastAt.After(since) {
		since = f.lastAt
	}
	still := now.Sub(since)
	switch {
	case !f.pace.stalled(still):
	case stopped > still/2:
		f.interrupt(CauseServer, now)
	default:
		f.interrupt(CauseStall, now)
	}
}

// done reports whether the count has reached its goal.
func (f *Feed) done() bool { return f.state.Goal > 0 && f.state.Count >= f.state.Goal }
