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

// reader is one subscriber of the stream.
type reader struct {
	next int64         // the first event that it has not taken
	line int64         // the last line that it has taken
	wake chan struct{} // has one element when there may be new events
	idle chan struct{} // has one element when it has sent all events since it was woken
	busy bool          // it did not become idle in time; only Hub.Run uses it
}

// setIdle signals that the reader has sent all events, or has left.
func (r *reader) setIdle() {
	select {
	case r.idle <- struct{}{}:
	default:
	}
}

// publish adds an event and makes the hub wake the readers. The caller holds f.mu.
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
func (f *Feed) join(after int64) (r *reader, first func() [][]byte, upTo int64) {
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
	r = &reader{next: f.ring.next, line: f.state.Lines, wake: make(chan struct{}, 1), idle: make(chan struct{}, 1)}
	f.ring.readers[r] = struct{}{}
	return r, func() [][]byte { return append(events, encode("state", 0, state)) }, 0
}

// errBehind is take's error if the ring no longer has the next event.
var errBehind = errors.New("the reader is too far behind")

// take returns the next events for a reader.
func (f *Feed) take(r *reader) (events [][]byte, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.next < f.ring.first {
		f.hub.mu.Lock()
		f.hub.behind++
		f.hub.mu.Unlock()
		return nil, errBehind
	}
	for ; r.next < f.ring.next && len(events) < maxTaken; r.next++ {
		events = append(events, f.ring.text(r.next))
		r.line = max(r.line, f.ring.slot(r.next).line)
	}
	return events, nil
}

func (f *Feed) leave(r *reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.ring.readers, r)
	r.setIdle()
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
