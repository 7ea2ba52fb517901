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

// remembered is how many events a ring holds, and rememberedSparse how many that
// of a sparse feed while it has readers. A reader that is further behind continues
// from the file.
const (
	remembered       = 4096
	rememberedSparse = 256
)

// ring holds the latest events, as many as it has slots. The events have numbers:
// the next one is put at slots[next%len(slots)].
type ring struct {
	slots   []event
	next    int64
	first   int64 // the events before this one are gone
	oldest  int64 // all lines from this one on are in the ring
	latest  event // the last line
	readers map[*reader]struct{}
}

// event is one of the stream. A line is encoded when a reader asks for it first:
// while nobody watches, that costs nothing.
type event struct {
	line   int64 // 0 if it is not about a line
	number float64
	at     time.Time
	text   []byte // as it is sent, or nil; never modified
}

// asLine returns the line that the event is about.
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

// keep makes an empty ring with that many slots.
func (r *ring) keep(slots int) {
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

// text returns an event as it is sent.
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
	wake chan struct{} // has one element when there may be more
	idle chan struct{} // has one element when it has sent all that it was woken for
	busy bool          // it was not idle again in time; Hub.Run alone uses it
}

// rests says that the reader has sent all there is, or has left.
func (r *reader) rests() {
	select {
	case r.idle <- struct{}{}:
	default:
	}
}

// publish adds an event and has the readers woken. f.mu must be held.
func (f *Feed) publish(e event) {
	f.ring.add(e)
	if len(f.ring.readers) > 0 && !f.notified {
		f.notified = true
		f.hub.notify(f)
	}
}

// send publishes an event of that name, if events are kept at all. f.mu must be
// held.
func (f *Feed) send(name string, data any) {
	if len(f.ring.slots) > 0 {
		f.publish(event{text: encode(name, 0, data)})
	}
}

// join makes a reader of one that has all lines up to after, if the ring has the
// lines that follow. It returns a function that returns what the reader is to be
// sent first: these lines, and the state after them. Otherwise it returns no
// reader, and the last line that has to be read from the file.
func (f *Feed) join(after int64) (r *reader, first func() [][]byte, upTo int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if after+1 < f.ring.oldest {
		return nil, nil, f.ring.oldest - 1
	}
	if len(f.ring.slots) == 0 {
		f.ring.keep(rememberedSparse)
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

// errBehind is take's error if the ring no longer has what is next.
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
	for ; r.next < f.ring.next && len(events) < atOnce; r.next++ {
		events = append(events, f.ring.text(r.next))
		r.line = max(r.line, f.ring.slot(r.next).line)
	}
	return events, nil
}

func (f *Feed) leave(r *reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.ring.readers, r)
	r.rests()
	if f.sparse && len(f.ring.readers) == 0 {
		f.ring.keep(0)
	}
}

// encode returns an event as it is sent. JSON has no line breaks.
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
