package live

import (
	"slices"
	"time"
)

const (
	// laneTime is the time that the lanes cover.
	laneTime = 15 * time.Minute
	// keptSpans bounds each lane. Absences shorter than minAbsence are omitted, since
	// they would not be visible.
	keptSpans  = 200
	minAbsence = 100 * time.Millisecond
)

// begin begins a span of presence.
func (l *Lane) begin(now time.Time) {
	if n := len(l.Spans); n > 0 {
		last := &l.Spans[n-1]
		if last.Until == nil {
			return
		}
		if now.Sub(*last.Until) < minAbsence {
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

// end ends the current span of presence.
func (l *Lane) end(now time.Time) {
	if n := len(l.Spans); n > 0 && l.Spans[n-1].Until == nil {
		l.Spans[n-1].Until = &now
	}
}

func (l *Lane) clone() Lane { return Lane{l.Name, slices.Clone(l.Spans)} }
