package live

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"counting/server/clientaddr"
)

// beat is the time between events "time". They show a reader that the server is alive, and
// the time of its clock.
const beat = 5 * time.Second

// HubOptions configure a Hub. The zero value has no limits.
type HubOptions struct {
	Limits Limits
	Log    *slog.Logger // may be nil
	// OnLimit, if non-nil, is called when a reader is refused. It must be safe for
	// concurrent use.
	OnLimit func(Limit)
	// Trusted are the proxies that name the address of their client.
	Trusted clientaddr.Trusted
}

// Hub holds what the feeds of a server share: the limits on readers, the goroutine that
// writes to readers and detects stalls, and the one that saves histories. So a feed without
// readers costs little. Its methods may be called concurrently.
type Hub struct {
	limiter limiter
	log     *slog.Logger
	// turn has one element while lines of any game are read and encoded for a reader, and
	// for pauseFactor times as long after that: all readers that catch up together use
	// only a part of one processor.
	turn   chan struct{}
	news   chan struct{} // has one element when a feed has new events
	closed chan struct{}
	close  func()
	// streams is how many are open.
	streams atomic.Int64

	mu    sync.Mutex
	feeds map[*Feed]struct{}
	ready []*Feed // feeds with new events

	tooSlow, undelivered, behind int64
}

// NewHub returns a hub without feeds. The caller must call Run, and Close.
func NewHub(o HubOptions) *Hub {
	h := &Hub{
		limiter: limiter{limits: o.Limits, onLimit: o.OnLimit, trusted: o.Trusted},
		log:     o.Log,
		turn:    make(chan struct{}, 1),
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

// Run writes new events to the readers, detects stalls and saves histories, until Close.
func (h *Hub) Run() {
	go h.saveHistories()
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
			h.writeNews(began)
			time.Sleep(time.Since(began) / 2) // leaves a third of this processor to the count
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

// notify makes Run write to the readers of a feed.
func (h *Hub) notify(f *Feed) {
	h.mu.Lock()
	h.ready = append(h.ready, f)
	h.mu.Unlock()
	select {
	case h.news <- struct{}{}:
	default:
	}
}

// writeNews writes to the readers of the feeds with new events, one after the other: a
// thousand concurrent writes would delay the count. Events that are added meanwhile are
// sent together in this round or the next one.
func (h *Hub) writeNews(now time.Time) {
	h.mu.Lock()
	ready := h.ready
	h.ready = nil
	h.mu.Unlock()
	for _, f := range ready {
		var n news
		for _, r := range f.takeNotified(now) {
			f.writeTo(r, &n)
		}
	}
}

// Readers returns how many streams and downloads are being served.
func (h *Hub) Readers() int { return h.limiter.count() }

// Dropped returns how many readers were dropped because they did not read, how many
// events they had not been sent, and how often a reader that fell behind had to continue
// from the file.
func (h *Hub) Dropped() (readers, events, behind int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tooSlow, h.undelivered, h.behind
}

// endTimeout is how long Close waits for readers that are slow to take the last events, and
// endCheck how often it looks.
const (
	endTimeout = 100 * time.Millisecond
	endCheck   = time.Millisecond
)

// Close ends Run and closes all feeds. It returns when they are closed and all streams have
// ended, or ctx ends. It waits for streams for at most endTimeout.
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
	for end := time.Now().Add(endTimeout); h.streams.Load() > 0 && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(endCheck)
	}
}
