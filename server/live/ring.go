package live

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"counting/server/protocol"
	"counting/server/spelling"
)

// ringSize is how many events a ring holds, and sparseRingSize how many that of a sparse
// feed holds while it has readers. A reader that is further behind continues from the
// file.
const (
	ringSize       = 4096
	sparseRingSize = 256
)

// ring holds the latest events. Events are numbered: event n is slots[n%len(slots)].
type ring struct {
	slots   []event
	next    int64 // the number of the next event
	first   int64 // the first event that is still in the ring
	oldest  int64 // all lines from this one on are in the ring
	latest  event // the last line
	readers map[*reader]struct{}
}

// event is one event of the stream. A line is encoded when the first reader asks for it,
// so that it costs nothing without readers.
type event struct {
	line   int64 // 0 if the event is not a line
	number float64
	at     time.Time
	text   []byte // the encoded event, or nil; never modified
}

// asLine returns the line of the event.
func (e event) asLine() *Line {
	text, _ := spelling.SpellFloat(e.number)
	line := &Line{Line: e.line, Text: text, At: &e.at}
	if e.number == math.Trunc(e.number) && e.number > 0 {
		line.Number, line.Seat = int64(e.number), protocol.SeatOf(int64(e.number)).String()
	}
	return line
}

func (r *ring) init(lines int64) {
	r.oldest = lines + 1
	r.readers = make(map[*reader]struct{})
}

// resize empties the ring and gives it that many slots.
func (r *ring) resize(slots int) {
	r.slots = nil
	if slots > 0 {
		r.slots = make([]event, slots)
	}
	r.first = r.next
	if r.latest.line > 0 {
		r.oldest = r.latest.line + 1
	}
}

func (r *ring) add(e event) {
	if e.line > 0 {
		r.latest = e
	}
	r.next++
	if len(r.slots) == 0 {
		r.first = r.next
		if e.line > 0 {
			r.oldest = e.line + 1
		}
		return
	}
	slot := r.slot(r.next - 1)
	if slot.line > 0 {
		r.oldest = slot.line + 1
	}
	*slot = e
	r.first = max(r.first, r.next-int64(len(r.slots)))
}

func (r *ring) slot(n int64) *event { return &r.slots[n%int64(len(r.slots))] }

// text returns the encoded event n.
func (r *ring) text(n int64) []byte {
	e := r.slot(n)
	if e.text == nil {
		e.text = encode("line", e.line, e.asLine())
	}
	return e.text
}

// reader is one subscriber of the stream. The goroutine that serves it writes to it until
// it has been sent everything. Then it parks the reader, and the hub writes to it.
type reader struct {
	out *output

	// Guarded by Feed.mu.
	next    int64  // the first event that it has not taken
	line    int64  // the last line that it has taken
	parked  bool   // the hub writes to it
	writing bool   // the hub is writing to it at this moment
	rest    []byte // what its connection did not accept when the hub wrote to it
	count   int64  // of the events that rest is of
}

// publish adds an event and makes the hub write to the readers. The caller holds f.mu.
func (f *Feed) publish(e event) {
	f.ring.add(e)
	if len(f.ring.readers) > 0 && !f.notified {
		f.notified = true
		f.hub.notify(f)
	}
}

// send publishes an event of that name, if the ring has slots. The caller holds f.mu.
func (f *Feed) send(name string, data any) {
	if len(f.ring.slots) > 0 {
		f.publish(event{text: encode(name, 0, data)})
	}
}

// join adds a reader that has all lines up to after, if the ring has the following
// lines. It returns a function that returns the first events for the reader: these lines,
// and the state after them. Otherwise it returns a nil reader, and the last line that
// must be read from the file.
func (f *Feed) join(out *output, after int64) (r *reader, first func() [][]byte, upTo int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if after+1 < f.ring.oldest {
		return nil, nil, f.ring.oldest - 1
	}
	if len(f.ring.slots) == 0 {
		f.ring.resize(sparseRingSize)
	}
	from := f.ring.next
	for n := f.state.Lines; n > after; from-- {
		if f.ring.slot(from-1).line == n {
			n--
		}
	}
	var events [][]byte
	for ; from < f.ring.next; from++ {
		if f.ring.slot(from).line > 0 {
			events = append(events, f.ring.text(from))
		}
	}
	state := f.snapshot()
	r = &reader{out: out, next: f.ring.next, line: f.state.Lines}
	f.ring.readers[r] = struct{}{}
	return r, func() [][]byte { return append(events, encode("state", 0, state)) }, 0
}

// errBehind is take's error if the ring no longer has the next event.
var errBehind = errors.New("the reader is too far behind")

// take returns the next events for a reader: at most maxTaken, or none if it has taken
// all.
func (f *Feed) take(r *reader) ([][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	events, err := f.ring.take(r, nil)
	if err != nil {
		f.hub.mu.Lock()
		f.hub.behind++
		f.hub.mu.Unlock()
	}
	return events, err
}

// take is Feed.take, but adds to events and counts nothing.
func (r *ring) take(of *reader, events [][]byte) ([][]byte, error) {
	if of.next < r.first {
		return nil, errBehind
	}
	for end := min(r.next, of.next+maxTaken); of.next < end; of.next++ {
		events = append(events, r.text(of.next))
		of.line = max(of.line, r.slot(of.next).line)
	}
	return events, nil
}

// park lets the hub write to a reader that has taken all events. It reports whether the
// reader is parked now, which is not so once the feed is closed.
func (f *Feed) park(r *reader) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.parked = r.next == f.ring.next && !f.isClosed()
	return r.parked
}

// unpark returns the reader to its own goroutine, unless the hub is writing to it: then
// the hub does so afterwards. The caller holds f.mu.
func (r *reader) unpark() {
	if r.parked && !r.writing {
		r.parked = false
		r.out.wake()
	}
}

// takeRest returns what the hub could not write, and of how many events that is.
func (f *Feed) takeRest(r *reader) (rest []byte, count int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rest, r.rest = r.rest, nil
	return rest, r.count
}

// news are events as they were last written to a reader. Most readers need the same ones.
type news struct {
	from, to int64 // the numbers of the first event, and of that after the last
	events   [][]byte
	chunk    chunk
}

// writeTo writes the new events to a parked reader, without blocking. If its connection
// does not accept them, its own goroutine goes on. Only the hub calls it.
func (f *Feed) writeTo(r *reader, n *news) {
	for {
		f.mu.Lock()
		if !r.parked {
			f.mu.Unlock()
			return
		}
		from := r.next
		events, err := f.ring.take(r, n.events[:0])
		to := r.next
		if err != nil {
			r.unpark() // it continues from the file
		}
		r.writing = err == nil && from < to
		f.mu.Unlock()
		if err != nil || from == to {
			return
		}
		if n.events = events; n.from != from || n.to != to {
			n.from, n.to, n.chunk = from, to, newChunk(events)
		}
		rest, err := r.out.tryWrite(n.chunk)
		if f.sent(err, to-from, r) != nil {
			r.out.conn.Close() // its goroutine ends
			return
		}
		f.mu.Lock()
		r.writing = false
		if r.rest, r.count = rest, to-from; len(rest) > 0 || f.isClosed() {
			r.unpark()
		}
		f.mu.Unlock()
	}
}

func (f *Feed) leave(r *reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.ring.readers, r)
	r.parked = false
	if f.sparse && len(f.ring.readers) == 0 {
		f.ring.resize(0)
	}
}

// encode encodes an event. JSON has no line breaks.
func encode(name string, id int64, data any) []byte {
	body, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("live: %T cannot be encoded: %v", data, err))
	}
	var b []byte
	if id > 0 {
		b = strconv.AppendInt(append(b, "id: "...), id, 10)
		b = append(b, '\n')
	}
	b = append(append(append(b, "event: "...), name...), "\ndata: "...)
	return append(append(b, body...), "\n\n"...)
}
