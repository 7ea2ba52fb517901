// Package live serves the data of the live page: a stream of server-sent events, a
// snapshot and the history.
//
// It neither changes nor delays the count. Events are stored in a ring of the latest
// events, under a lock that is held for microseconds. Readers are sent new events from
// the ring, or lines from numbers.txt if they have fallen behind.
package live

import (
	"context"
	"slices"
	"sync"
	"time"

	"counting/server/game"
	"counting/server/protocol"
)

const (
	// statusGap is the minimum time between two events "status".
	statusGap = 250 * time.Millisecond
	// repeatGap is the minimum time between two events about one activity.
	repeatGap = time.Second
	// saveGap is the minimum time between two writes of the history, saveAlways the
	// maximum: from the file the next server determines until when this one ran.
	saveGap    = time.Second
	saveAlways = 10 * time.Second
)

// Options configure a Feed. The zero value is a feed of an empty file without a
// history.
type Options struct {
	Game     string    // its name, "" for the default game
	Path     string    // of numbers.txt; "" if the count is not kept in a file: then lines are spelled
	History  string    // path of the history; "" for none
	Count    int64     // the number that the count has reached
	Unbroken bool      // the file is exactly one, two, three up to Count
	LastAt   time.Time // when the last line was written, zero if unknown
	Goal     int64     // last number of the count, 0 if unknown
	Version  string
	Assets   string // see Status.Assets
	Host     string
	// Sparse reduces the memory of the feed: it keeps events only while it has readers,
	// and fewer of them. Its readers count against Limits.PerGame.
	Sparse bool

	// Waiting, if non-nil, returns how many clients wait for a seat. It is called a few
	// times a second, with no lock held.
	Waiting func() int
	// Written, if non-nil, returns the last line that was written. The feed may not have
	// been notified of it yet.
	Written func() int64
	// Interrupted, if non-nil, is called when an interruption is over. It must not block
	// or call the feed.
	Interrupted func(Interruption)
}

// Feed records the events of one game, and serves them. It is an observer of the game's
// room. Its methods may be called concurrently.
type Feed struct {
	hub         *Hub
	game        string
	sparse      bool
	lines       *lines
	waiting     func() int
	written     func() int64
	interrupted func(Interruption)
	historyPath string
	closed      chan struct{} // closed by Close
	close       func()

	saving    sync.Mutex // held while the history is saved
	saved     bool       // the last save was made
	unsavable bool       // the previous save failed

	mu    sync.Mutex
	state State // without Now and Last
	ring  ring
	pace  pace

	last             *Line     // the last line when the feed was opened
	lastAt           time.Time // when the last line was written
	lastActivity     int64     // the highest ID so far
	lastInterruption int64
	repeating        map[int64]bool // activities whose Times have grown since they were sent
	watched          time.Time      // when detectStall was last called

	changed    bool // since the last status was sent
	statusSent time.Time
	unsaved    bool // changed since the history was last saved
	notified   bool // the hub is about to write to the readers
}

// Open returns the feed of a game whose numbers.txt was just opened and not yet written
// to. The caller must Close it.
func (h *Hub) Open(o Options) (*Feed, error) {
	f := &Feed{
		hub:         h,
		game:        o.Game,
		sparse:      o.Sparse,
		lines:       newLines(o.Path, o.Unbroken, h.turn),
		waiting:     o.Waiting,
		interrupted: o.Interrupted,
		historyPath: o.History,
		closed:      make(chan struct{}),
		repeating:   make(map[int64]bool),
		lastAt:      o.LastAt.UTC(),
	}
	if o.LastAt.IsZero() {
		f.lastAt = time.Time{}
	}
	f.close = sync.OnceFunc(func() { close(f.closed) })
	if f.written = o.Written; f.written == nil {
		f.written = f.lastNotified
	}
	inFile := o.Count
	if !o.Unbroken {
		var err error
		if inFile, err = f.lines.count(); err != nil {
			return nil, err
		}
	}
	now := time.Now().UTC()
	f.state.Status = Status{Version: o.Version, Assets: o.Assets, Host: o.Host, Started: now, Goal: o.Goal, Lines: inFile, Count: o.Count,
		Unbroken: o.Unbroken || inFile == 0, Since: now, Tally: Tally{Since: now}}
	f.state.Lanes = []Lane{{Name: "server"}}
	for _, seat := range protocol.Seats {
		f.state.Seats = append(f.state.Seats, Seat{Seat: seat.String(), Since: now})
		f.state.Lanes = append(f.state.Lanes, Lane{Name: seat.String()})
	}
	f.ring.init(inFile)
	if !o.Sparse {
		f.ring.resize(ringSize)
	}
	if inFile > 0 {
		last, err := f.lines.read(inFile-1, inFile)
		if err != nil {
			return nil, err
		}
		f.last = &last[0]
		if !f.lastAt.IsZero() {
			at := f.lastAt
			f.last.At = &at
		}
	}
	if o.History != "" {
		past, err := readHistory(o.History, inFile)
		if err != nil {
			h.log.Warn("Cannot read the history of the page, which starts empty: " + err.Error())
		}
		f.restore(past)
	}
	f.state.Lanes[0].begin(now)
	f.note(Activity{Type: ServerStarted, At: now})
	f.interrupt(CauseServer, now)
	h.mu.Lock()
	h.feeds[f] = struct{}{}
	h.mu.Unlock()
	return f, nil
}

// Happened records an effect of the game.
func (f *Feed) Happened(effect game.Effect) {
	now := time.Now().UTC()
	f.mu.Lock()
	defer f.mu.Unlock()
	switch e := effect.(type) {
	case game.Seated:
		f.seat(e.Seat.String(), true, now)
	case game.Left:
		f.seat(e.Seat.String(), false, now)
	case game.Full:
		f.note(Activity{Type: BothSeatsTaken, At: now})
	case game.Refused:
		refused := Activity{Type: NumberRefused, At: now, Reason: string(e.Code)}
		if e.Seat != protocol.NoSeat {
			refused.Seat = e.Seat.String()
		}
		f.note(refused)
	}
}

// Written records the numbers of lines that were written.
func (f *Feed) Written(numbers []float64, _ time.Duration) {
	if len(numbers) == 0 {
		return
	}
	now := time.Now().UTC()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.state
	if s.Interruption == nil && !f.lastAt.IsZero() {
		gap := now.Sub(f.lastAt)
		if f.pace.stalled(gap) && s.Running && s.Since.Before(f.lastAt) {
			f.interrupt(CauseStall, now) // it was over before it was detected
		} else {
			f.pace.add(gap / time.Duration(len(numbers)))
		}
	}
	f.resume(s.Lines+1, now)
	f.lastAt = now
	for _, n := range numbers {
		s.Lines++
		s.Count = int64(n)
		f.publish(event{line: s.Lines, number: n, at: now})
	}
	if f.done() {
		f.changed = true
	}
}

// lastNotified returns the last line that the feed was notified of.
func (f *Feed) lastNotified() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.Lines
}

// Storage records that the file cannot be written, or can be written again.
func (f *Feed) Storage(err error) {
	now := time.Now().UTC()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.state.Storage = nil
		f.note(Activity{Type: StorageRestored, At: now})
		return
	}
	f.state.Storage = &StorageFault{Since: now, Reason: reason(err)}
	f.note(Activity{Type: StorageFailing, At: now, Reason: f.state.Storage.Reason})
	f.interrupt(CauseStorage, now)
}

// Missed records which seats are taken after notices were dropped. In default mode lines
// are never dropped.
func (f *Feed) Missed(_ int64, taken []protocol.Seat) {
	now := time.Now().UTC()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, seat := range protocol.Seats {
		f.seat(seat.String(), slices.Contains(taken, seat), now)
	}
}

// Stopping records that the server was asked to stop.
func (f *Feed) Stopping() {
	now := time.Now().UTC()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note(Activity{Type: ServerStopped, At: now})
	f.state.Lanes[0].end(now)
}

// sendTime sends the event "time".
func (f *Feed) sendTime(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.send("time", now.UTC())
}

// tick detects stalls, and publishes the status if it has changed.
func (f *Feed) tick(now time.Time, repeat bool) {
	waiting := 0
	if f.waiting != nil {
		waiting = f.waiting()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if waiting != f.state.Waiting {
		f.state.Waiting, f.changed = waiting, true
	}
	f.detectStall(now.UTC())
	if repeat {
		f.publishRepeating()
	}
	f.publishStatus(now)
}

// takeNotified returns the readers to write to.
func (f *Feed) takeNotified(now time.Time) []*reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notified = false
	f.publishStatus(now)
	readers := make([]*reader, 0, len(f.ring.readers))
	for r := range f.ring.readers {
		readers = append(readers, r)
	}
	return readers
}

func (f *Feed) isClosed() bool {
	select {
	case <-f.closed:
		return true
	default:
		return false
	}
}

// Close ends all streams, and saves the history. It returns when that is done or ctx
// ends.
func (f *Feed) Close(ctx context.Context) {
	f.close()
	f.mu.Lock()
	for r := range f.ring.readers {
		r.unpark()
	}
	f.mu.Unlock()
	f.hub.mu.Lock()
	delete(f.hub.feeds, f)
	f.hub.mu.Unlock()
	saved := make(chan struct{})
	go func() {
		f.save(true)
		close(saved)
	}()
	select {
	case <-saved:
	case <-ctx.Done():
	}
}

// The following must be called with f.mu held.

// publishStatus sends the status if it has changed and statusGap has passed.
func (f *Feed) publishStatus(now time.Time) {
	if !f.changed || now.Sub(f.statusSent) < statusGap {
		return
	}
	f.changed, f.unsaved, f.statusSent = false, true, now
	f.send("status", f.status())
}

// seat records that a seat was taken or left.
func (f *Feed) seat(name string, taken bool, now time.Time) {
	s := &f.state
	i := slices.IndexFunc(s.Seats, func(s Seat) bool { return s.Seat == name })
	if i < 0 || s.Seats[i].Taken == taken {
		return
	}
	s.Seats[i].Taken, s.Seats[i].Since = taken, now
	if taken {
		s.Seats[i].Times++
		s.Lanes[i+1].begin(now)
		f.note(Activity{Type: SeatTaken, Seat: name, At: now})
	} else {
		s.Lanes[i+1].end(now)
		f.note(Activity{Type: SeatLeft, Seat: name, At: now})
	}
	running := s.Seats[0].Taken && s.Seats[1].Taken
	if running == s.Running {
		return
	}
	s.Running, s.Since = running, now
	if running {
		f.note(Activity{Type: GameStarted, At: now})
	} else {
		f.note(Activity{Type: GameStopped, At: now})
		f.interrupt(Cause(name), now)
	}
}

// snapshot returns a copy of the state.
func (f *Feed) snapshot() State {
	s := f.state
	s.Status = f.status()
	s.Last = f.last
	if e := f.ring.latest; e.line > 0 && e.line == s.Lines {
		s.Last = e.asLine()
	}
	s.Activities = append([]Activity{}, s.Activities...)
	s.Interruptions = append([]Interruption{}, s.Interruptions...)
	s.Lanes = slices.Clone(s.Lanes)
	for i := range s.Lanes {
		s.Lanes[i] = s.Lanes[i].clone()
		if s.Lanes[i].Spans == nil {
			s.Lanes[i].Spans = []Span{}
		}
	}
	return s
}

// status returns a copy of the status.
func (f *Feed) status() Status {
	s := f.state.Status
	s.Now = time.Now().UTC()
	s.Seats = slices.Clone(s.Seats)
	return s
}
