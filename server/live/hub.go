package live

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	// beat is the time from one event "time" to the next. It tells a reader
	// that the server is there, and what its clock says.
	beat = 5 * time.Second
	// writeTime is how long a reader that was woken is waited for before the next is
	// woken: writing takes microseconds, unless its connection is full.
	writeTime = time.Millisecond
)

// HubOptions configure a Hub. The zero value has no limits.
type HubOptions struct {
	Limits Limits
	Log    *slog.Logger // may be nil
	// LimitReached, if not nil, is called when a reader is refused. It must be
	// safe for concurrent use.
	LimitReached func(Limit)
	// Address, if not nil, returns the address of who sent a request; else it
	// is that of the connection.
	Address func(*http.Request) string
}

// Hub is what the feeds of a server share: the limits on readers, the goroutine
// that wakes readers and watches the pace, and the one that saves histories. So a
// feed that nobody reads costs little. All methods may be called by any number of
// goroutines.
type Hub struct {
	limiter limiter
	log     *slog.Logger
	news    chan struct{} // has one element when a feed has something for readers
	closed  chan struct{}
	close   func()

	mu    sync.Mutex
	feeds map[*Feed]struct{}
	ready []*Feed // have something for their readers

	tooSlow, undelivered, behind int64
}

// NewHub returns a hub without feeds. The caller must call Run, and Close.
func NewHub(o HubOptions) *Hub {
	h := &Hub{
		limiter: limiter{limits: o.Limits, reached: o.LimitReached, address: o.Address},
		log:     o.Log,
		news:    make(chan struct{}, 1),
		closed:  make(chan struct{}),
		feeds:   make(map[*Feed]struct{}),
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.close = sync.OnceFunc(func() { close(h.closed) })
	return h
}

// Run wakes the readers when there is something for them, watches the pace and
// saves the histories, until Close.
func (h *Hub) Run() {
	go h.keepHistories()
	beats := time.NewTicker(beat)
	defer beats.Stop()
	ticks := time.NewTicker(statusGap)
	defer ticks.Stop()
	var repeated time.Time
	for {
		select {
		case <-h.closed:
			return
		case now := <-beats.C:
			for _, f := range h.all() {
				f.sendTime(now)
			}
		case now := <-ticks.C:
			repeat := now.Sub(repeated) >= repeatGap
			if repeat {
				repeated = now
			}
			for _, f := range h.all() {
				f.tick(now, repeat)
			}
		case <-h.news:
			began := time.Now()
			h.wakeReaders(began)
			time.Sleep(3 * time.Since(began)) // most of the time is the count's
		}
	}
}

// all returns the feeds that are open.
func (h *Hub) all() []*Feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	feeds := make([]*Feed, 0, len(h.feeds))
	for f := range h.feeds {
		feeds = append(feeds, f)
	}
	return feeds
}

// notify has the readers of a feed woken.
func (h *Hub) notify(f *Feed) {
	h.mu.Lock()
	h.ready = append(h.ready, f)
	h.mu.Unlock()
	select {
	case h.news <- struct{}{}:
	default:
	}
}

// wakeReaders wakes the readers of the feeds that have something for them, one
// after the other: a thousand that write at the same moment would keep the
// processors from the count. What happens meanwhile is sent together in the next
// round.
func (h *Hub) wakeReaders(now time.Time) {
	h.mu.Lock()
	ready := h.ready
	h.ready = nil
	h.mu.Unlock()
	tooLong := time.NewTimer(writeTime)
	defer tooLong.Stop()
	for _, f := range ready {
		for _, r := range f.takeNotified(now) {
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
			case <-h.closed:
				return
			}
		}
	}
}

// Readers returns how many requests are served from the streams, or from the
// files.
func (h *Hub) Readers() int { return h.limiter.count() }

// Dropped returns how many readers were dropped so far because they did not
// take what they were sent, how many events they had not been sent, and how
// often a reader that fell behind had to continue from the file.
func (h *Hub) Dropped() (readers, events, behind int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tooSlow, h.undelivered, h.behind
}

// Close ends Run, and closes all feeds. It returns when they are closed or ctx
// ends.
func (h *Hub) Close(ctx context.Context) {
	h.close()
	var closing sync.WaitGroup
	for _, f := range h.all() {
		closing.Go(func() { f.Close(ctx) })
	}
	done := make(chan struct{})
	go func() {
		closing.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
