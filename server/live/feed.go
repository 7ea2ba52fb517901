// Package live shows the count while it goes on: a stream of server-sent
// events, and a snapshot of how things stand.
//
// Nothing here changes anything, and nobody who watches can hold up the count:
// what happens is noted in a ring of the latest events, under a lock that is
// held for microseconds, and each reader takes from there, or from numbers.txt,
// what it has not seen.
package live

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"counting/server/game"
	"counting/server/protocol"
	"counting/server/spelling"
)

const (
	// remembered is how many events the ring holds. A reader that is further
	// behind is dropped; it comes back and reads on from the file.
	remembered = 4096
	// history is how many happenings a snapshot holds.
	history = 100
	// beat is the time from one event "time" to the next: by it a reader
	// knows that the server is there.
	beat = 5 * time.Second
)

// Options are what a Feed is told at the start.
type Options struct {
	Path    string // of numbers.txt; "" is an empty file
	Last    int64  // where the count is, if the file is 1…Last and nothing else; 0 if it has to be read
	Version string
	Goal    int64     // the number the count is on its way to, 0 if unknown
	LastAt  time.Time // when the last line was written, zero if unknown
}

// Feed notes what happens, for all who watch. It is an observer of the table,
// and an http.Handler each for the stream and the snapshot. It may be used by
// any number of goroutines.
type Feed struct {
	lines *lines
	news  chan struct{} // has one element when there is something for Run to do
	done  chan struct{} // closed by Close
	close func()

	mu          sync.Mutex
	state       State     // but for Now
	happened    int64     // happenings so far
	latest      event     // of the last line that has been written
	lastAt      time.Time // when that was
	disturbed   bool      // something happened since the last line that interrupts the count
	ring        [remembered]event
	next        int64 // the events so far: the next one goes to ring[next%remembered]
	oldest      int64 // all lines from this one on are in the ring
	readers     map[*reader]struct{}
	tooSlow     int64
	undelivered int64
}

// event is one of the stream. A line is put into words and JSON when a reader
// asks for it first: where nobody watches, it costs the count nothing.
type event struct {
	line   int64 // 0 if it is none
	number float64
	at     time.Time
	text   []byte // as it goes out, or nil; it is never changed
}

// asLine returns the line that the event tells.
func (e event) asLine() *Line {
	text, _ := spelling.SpellFloat(e.number)
	line := &Line{Line: e.line, Text: text, At: &e.at}
	if e.number == math.Trunc(e.number) && e.number > 0 {
		line.Number, line.Seat = int64(e.number), protocol.SeatOf(int64(e.number)).String()
	}
	return line
}

// New returns the feed of a server that has just opened numbers.txt and writes
// nothing to it yet. Run must be called, and Close.
func New(o Options) (*Feed, error) {
	f := &Feed{
		lines:   newLines(o.Path, o.Last > 0),
		news:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		readers: make(map[*reader]struct{}),
		lastAt:  o.LastAt,
	}
	f.close = sync.OnceFunc(func() { close(f.done) })
	count := o.Last
	if count == 0 {
		var err error
		if count, err = f.lines.count(); err != nil {
			return nil, err
		}
	}
	now := time.Now().UTC()
	f.state = State{Version: o.Version, Goal: o.Goal, Started: now, Since: now, Lines: count, Happenings: []Happening{}}
	for _, seat := range protocol.Seats {
		f.state.Seats = append(f.state.Seats, Seat{Seat: seat.String(), Since: now})
	}
	f.oldest = count + 1
	if count > 0 {
		last, err := f.lines.read(count-1, count)
		if err != nil {
			return nil, err
		}
		f.state.Last = &last[0]
		if !o.LastAt.IsZero() {
			at := o.LastAt.UTC()
			f.state.Last.At = &at
		}
	}
	f.happen(Happening{What: ServerStarted, At: now})
	f.disturbed = true
	return f, nil
}

// Close ends all streams, and Run.
func (f *Feed) Close() { f.close() }

// Happened notes what the game did.
func (f *Feed) Happened(effect game.Effect) {
	now := time.Now().UTC()
	f.mu.Lock()
	defer f.mu.Unlock()
	switch e := effect.(type) {
	case game.Seated:
		f.seat(e.Seat, true, now)
		f.happen(Happening{What: SeatTaken, Seat: e.Seat.String(), At: now})
	case game.Left:
		f.disturbed = true
		f.seat(e.Seat, false, now)
		f.happen(Happening{What: SeatLeft, Seat: e.Seat.String(), At: now})
	case game.Full:
		f.happen(Happening{What: BothSeatsTaken, At: now})
	default:
		return
	}
	running := f.state.Seats[0].Taken && f.state.Seats[1].Taken
	if running != f.state.Running {
		f.state.Running, f.state.Since = running, now
		what := GameStopped
		if running {
			what = GameStarted
		}
		f.happen(Happening{What: what, At: now})
	}
}

// Written notes lines that have come into the file.
func (f *Feed) Written(numbers []float64, _ time.Duration) {
	now := time.Now().UTC()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.disturbed && !f.lastAt.IsZero() {
		f.happen(Happening{What: CountResumed, At: now, Seconds: now.Sub(f.lastAt).Seconds()})
	}
	f.disturbed, f.lastAt = false, now
	for _, n := range numbers {
		f.state.Lines++
		f.latest = event{line: f.state.Lines, number: n, at: now}
		f.publish(f.latest)
	}
}

// Storage notes that the file cannot be written, or can be again. What the
// error says is for the log: it names paths.
func (f *Feed) Storage(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disturbed = true
	f.state.Failing = err != nil
	what := StorageRestored
	if f.state.Failing {
		what = StorageFailing
	}
	f.happen(Happening{What: what, At: time.Now().UTC()})
}

// Readers returns how many read the stream.
func (f *Feed) Readers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.readers)
}

// Dropped returns how many readers were dropped so far for being too slow, and
// how many events they had not been sent.
func (f *Feed) Dropped() (readers, events int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tooSlow, f.undelivered
}

// The rest is called with the lock held.

func (f *Feed) seat(seat protocol.Seat, taken bool, now time.Time) {
	for i := range f.state.Seats {
		if s := &f.state.Seats[i]; s.Seat == seat.String() {
			s.Taken, s.Since = taken, now
		}
	}
}

func (f *Feed) happen(h Happening) {
	f.happened++
	h.ID = f.happened
	if len(f.state.Happenings) == history {
		f.state.Happenings = append(f.state.Happenings[:0:0], f.state.Happenings[1:]...) // snapshots keep the old one
	}
	f.state.Happenings = append(f.state.Happenings, h)
	f.publish(event{text: encode("happening", 0, h)})
}

// publish puts an event into the ring and has the readers woken.
func (f *Feed) publish(e event) {
	slot := &f.ring[f.next%remembered]
	if slot.line > 0 {
		f.oldest = slot.line + 1
	}
	*slot = e
	f.next++
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// text returns an event of the ring as it goes out.
func (f *Feed) text(n int64) []byte {
	e := &f.ring[n%remembered]
	if e.text == nil {
		e.text = encode("line", e.line, e.asLine())
	}
	return e.text
}

// snapshot returns how things stand. The slices and pointers in it are not
// written to any more, but for the seats, which it copies.
func (f *Feed) snapshot() State {
	s := f.state
	s.Now = time.Now().UTC()
	s.Seats = append([]Seat(nil), s.Seats...)
	if f.latest.line > 0 {
		s.Last = f.latest.asLine()
	}
	return s
}

// encode returns an event as it goes over the wire. JSON has no line breaks.
func encode(name string, id int64, data any) []byte {
	body, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("live: %T cannot be sent: %v", data, err))
	}
	var b []byte
	if id > 0 {
		b = strconv.AppendInt(append(b, "id: "...), id, 10)
		b = append(b, '\n')
	}
	b = append(append(append(b, "event: "...), name...), "\ndata: "...)
	return append(append(b, body...), "\n\n"...)
}
