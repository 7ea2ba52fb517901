package live

import (
	"slices"
	"time"
)

const (
	// tallyPause is the length from which an interruption counts as the end of
	// a run: the next one has a tally of its own.
	tallyPause = time.Hour
	// Both clients are there and no number has come for stallFactor times the
	// usual gap, and for leastStall: the count stalls. While the usual gap is
	// not known, it takes unknownStall.
	leastStall   = 5 * time.Second
	stallFactor  = 3
	unknownStall = time.Minute
)

// pace knows the usual time from one line to the next: the second longest of
// the latest gaps, because clients that count at the same time leave one short
// gap for each long one, and because one gap may have been out of the ordinary.
type pace struct {
	gaps []time.Duration
}

func (p *pace) add(gap time.Duration) { p.gaps = latest(append(p.gaps, gap), 20) }

// usual returns 0 if too little is known.
func (p *pace) usual() time.Duration {
	if len(p.gaps) < 6 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(p.gaps))
	return sorted[len(sorted)-2]
}

// stalled tells whether a time without a number is a stall.
func (p *pace) stalled(still time.Duration) bool {
	if still <= leastStall { // nearly always
		return false
	}
	usual := p.usual()
	if usual == 0 {
		return still > unknownStall
	}
	return still > stallFactor*usual
}

// The rest must be called with f.mu held.

// interrupt notes that the count is interrupted, unless it is already or is
// over.
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

// resume notes the first line after an interruption, if there is one. A number that
// the client which is still there had sent before it knew that the other one is gone
// does not end the interruption, but is the last one before it.
func (f *Feed) resume(line int64, now time.Time) {
	s := &f.state
	if s.Interruption == nil {
		return
	}
	if c := s.Interruption.Cause; !s.Running && (c == CauseClient1 || c == CauseClient2) {
		s.Interruption.After = now
		f.send("interruption", s.Interruption)
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

// watchPace notes a stall. Its cause is this server if the process was itself
// stopped for most of the time.
func (f *Feed) watchPace(now time.Time) {
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
