package live

import "time"

const (
	// keptActivities and keptInterruptions bound a snapshot.
	keptActivities    = 100
	keptInterruptions = 100
	// The first few equal activities are listed separately, so that a client that is
	// killed three times is listed three times. Further ones within repeatTime of the
	// last one are counted in it, so that repetitions cannot displace everything else.
	maxSeparate = 3
	repeatTime  = time.Minute
)

// note adds an activity, or counts it in an equal one. The caller holds f.mu.
func (f *Feed) note(a Activity) {
	if same := f.repeated(a); same != nil {
		same.Times = max(same.Times, 1) + 1
		at := a.At
		same.Until = &at
		f.repeating[same.ID] = true
		f.changed = true
		return
	}
	f.lastActivity++
	a.ID = f.lastActivity
	f.state.Activities = latest(append(f.state.Activities, a), keptActivities)
	f.send("happening", a)
	f.changed = true
}

// repeated returns the activity in which a must be counted, or nil.
func (f *Feed) repeated(a Activity) *Activity {
	if a.Type == CountResumed || a.Type == ServerStarted || a.Type == ServerStopped {
		return nil
	}
	var newest *Activity
	recent := 0
	for i := range f.state.Activities {
		b := &f.state.Activities[i]
		last := b.At
		if b.Until != nil {
			last = *b.Until
		}
		if b.Type == a.Type && b.Seat == a.Seat && b.Reason == a.Reason && a.At.Sub(last) < repeatTime {
			newest = b
			recent++
		}
	}
	if recent < maxSeparate {
		return nil
	}
	return newest
}

// publishRepeating sends the activities whose Times have grown.
func (f *Feed) publishRepeating() {
	if len(f.repeating) == 0 {
		return
	}
	for _, a := range f.state.Activities {
		if f.repeating[a.ID] {
			f.send("happening", a)
		}
	}
	clear(f.repeating)
}

// latest returns the last n elements of s, in place.
func latest[T any](s []T, n int) []T {
	if len(s) > n {
		s = append(s[:0], s[len(s)-n:]...)
	}
	return s
}
