package live

import (
	"slices"
	"time"
)

const (
	// laneTime is how far back the lanes go.
	laneTime = 15 * time.Minute
	// keptSpans bounds each lane. Absences shorter than invisible are left out:
	// nobody could see them.
	keptSpans = 200
	invisible = 100 * time.Millisecond
)

// enter notes that somebody is there from now on.
func (l *Lane) enter(now time.Time) {
	if n := len(l.Spans); n > 0 {
		last := &l.Spans[n-1]
		if last.Until == nil {
			return
		}
		if now.Sub(*last.Until) < invisible {
			last.Until = nil
			return
		}
	}
	forgotten := 0
	for _, s := range l.Spans {
		if s.Until == nil || now.Sub(*s.Until) < laneTime {
			break
		}
		forgotten++
	}
	l.Spans = append(slices.Delete(l.Spans, 0, forgotten), Span{From: now})
	l.Spans = latest(l.Spans, keptSpans)
}

// leave notes that nobody is there from now on.
func (l *Lane) leave(now time.Time) {
	if n := len(l.Spans); n > 0 && l.Spans[n-1].Until == nil {
		l.Spans[n-1].Until = &now
	}
}

func (l *Lane) clone() Lane { return Lane{l.Name, slices.Clone(l.Spans)} }
