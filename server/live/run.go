package live

import (
	"context"
	"time"
)

const (
	// writeTime is how long a reader that was woken is waited for before the next is
	// woken: writing takes microseconds, unless its connection is full.
	writeTime = time.Millisecond
)

// Run wakes the readers when there is something for them, watches the pace and
// saves the history, until Close.
func (f *Feed) Run() {
	go f.keepHistory()
	beats := time.NewTicker(beat)
	defer beats.Stop()
	ticks := time.NewTicker(statusGap)
	defer ticks.Stop()
	var repeated time.Time
	for {
		select {
		case <-f.closed:
			return
		case <-beats.C:
			f.mu.Lock()
			f.publish(event{text: encode("time", 0, time.Now().UTC())})
			f.mu.Unlock()
		case now := <-ticks.C:
			waiting := 0
			if f.waiting != nil {
				waiting = f.waiting()
			}
			f.mu.Lock()
			if waiting != f.state.Waiting {
				f.state.Waiting, f.changed = waiting, true
			}
			f.watchPace(now.UTC())
			if now.Sub(repeated) >= repeatGap {
				repeated = now
				f.publishRepeating()
			}
			f.publishStatus(now)
			f.mu.Unlock()
		case <-f.news:
			f.mu.Lock()
			f.publishStatus(time.Now())
			f.mu.Unlock()
			began := time.Now()
			f.wakeAll()
			time.Sleep(3 * time.Since(began)) // most of the time is the count's
		}
	}
}

// publishStatus sends the status if it has changed and none was sent just now.
// f.mu must be held.
func (f *Feed) publishStatus(now time.Time) {
	if !f.changed || now.Sub(f.statusSent) < statusGap {
		return
	}
	f.changed, f.unsaved, f.statusSent = false, true, now
	f.publish(event{text: encode("status", 0, f.status())})
}

// wakeAll wakes the readers one after the other: a thousand that write at the same
// moment would keep the processors from the count. What happens meanwhile is sent
// together in the next round.
func (f *Feed) wakeAll() {
	f.mu.Lock()
	all := make([]*reader, 0, len(f.ring.readers))
	for r := range f.ring.readers {
		all = append(all, r)
	}
	f.mu.Unlock()
	tooLong := time.NewTimer(writeTime)
	defer tooLong.Stop()
	for _, r := range all {
		select {
		case <-r.idle:
			r.busy = false
		default:
		}
		select {
		case r.wake <- struct{}{}:
		default: // it has not yet taken what it was woken for
			continue
		}
		if r.busy {
			continue
		}
		tooLong.Reset(writeTime)
		select {
		case <-r.idle:
		case <-tooLong.C:
			r.busy = true
		case <-f.closed:
			return
		}
	}
}

// keepHistory saves the history when it has changed, until Close.
func (f *Feed) keepHistory() {
	defer close(f.saved)
	if f.historyPath == "" {
		return
	}
	failing := false
	save := func() {
		f.mu.Lock()
		h := f.history(time.Now().UTC())
		f.unsaved = false
		f.mu.Unlock()
		err := h.save(f.historyPath)
		if err != nil && !failing {
			f.log.Warn("The page's history cannot be saved: " + err.Error())
		}
		failing = err != nil
	}
	ticks := time.NewTicker(saveGap)
	defer ticks.Stop()
	var last time.Time
	for {
		select {
		case now := <-ticks.C:
			f.mu.Lock()
			due := f.unsaved
			f.mu.Unlock()
			if due || now.Sub(last) >= saveAlways {
				last = now
				save()
			}
		case <-f.closed:
			save()
			return
		}
	}
}

// Close ends all streams, and Run, and saves the history a last time. It returns
// when that is done or ctx ends. Run must have been called.
func (f *Feed) Close(ctx context.Context) {
	f.close()
	select {
	case <-f.saved:
	case <-ctx.Done():
	}
}
