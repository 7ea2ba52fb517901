package live

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxReaders bounds what all readers together may cost.
	maxReaders = 4096
	// writeTimeout is how long a reader may take to receive what it is sent.
	writeTimeout = 10 * time.Second
	// atOnce is how many events a reader takes from the ring at once.
	atOnce = 256

	// Readers are woken in small groups with a pause between: a thousand that
	// all want to write at the same moment would take the processor from the
	// count. Nobody sees the difference.
	group      = 16
	groupPause = time.Millisecond
	// roundPause is the least time from one round to the next, for each reader.
	// What happens meanwhile goes out together.
	roundPause = 50 * time.Microsecond
)

// reader is who reads the stream.
type reader struct {
	next int64         // the first event that it has not taken
	wake chan struct{} // has one element when there may be more
}

// Run wakes the readers when there is something for them, until Close.
func (f *Feed) Run() {
	beats := time.NewTicker(beat)
	defer beats.Stop()
	for {
		select {
		case <-f.done:
			return
		case <-beats.C:
			f.mu.Lock()
			f.publish(event{text: encode("time", 0, time.Now().UTC())})
			f.mu.Unlock()
		case <-f.news:
			time.Sleep(time.Duration(f.wakeAll()) * roundPause)
		}
	}
}

// wakeAll wakes all readers, and returns how many there are.
func (f *Feed) wakeAll() int {
	f.mu.Lock()
	all := make([]*reader, 0, len(f.readers))
	for r := range f.readers {
		all = append(all, r)
	}
	f.mu.Unlock()
	for i, r := range all {
		select {
		case r.wake <- struct{}{}:
		default: // it has not yet taken what it was woken for
		}
		if i%group == group-1 {
			time.Sleep(groupPause)
		}
	}
	return len(all)
}

// ServeState answers GET /state: the State as JSON.
func (f *Feed) ServeState(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	state := f.snapshot()
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(state)
}

// ServeEvents answers GET /events: first the lines behind the one that
// Last-Event-ID names, or else the parameter "after"; without either, no line
// that is there already. Then how things stand, and from there on each line and
// whatever happens.
func (f *Feed) ServeEvents(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	lines, full := f.state.Lines, len(f.readers) >= maxReaders
	f.mu.Unlock()
	after, err := position(r, lines)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	case full:
		w.Header().Set("Retry-After", "10")
		http.Error(w, fmt.Sprintf("%d readers are as many as there may be", maxReaders), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not collect events
	if r.Method == http.MethodHead {
		return
	}
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{}) // the server's deadline is for the request, not for the stream
	out := &writer{w, control}
	if out.write([]byte("retry: 1000\n\n")) != nil {
		return
	}

	// Lines that the ring has forgotten come from the file, a block at a time.
	var me *reader
	for {
		r, first, upTo := f.join(after)
		if me = r; me != nil {
			defer f.leave(me)
			if err := out.write(first()...); err != nil {
				f.gone(me, err)
				return
			}
			break
		}
		missed, err := f.lines.read(after, upTo)
		if err != nil {
			return // it comes back; that the file is gone is for who writes it to tell
		}
		var text [][]byte
		for _, line := range missed {
			text = append(text, encode("line", line.Line, line))
		}
		if out.write(text...) != nil {
			return
		}
		after += int64(len(missed))
	}
	for {
		events, err := f.take(me)
		if err == nil && len(events) > 0 {
			err = out.write(events...)
		}
		if err != nil {
			f.gone(me, err)
			return
		}
		if len(events) > 0 {
			me.next += int64(len(events))
			continue
		}
		select {
		case <-me.wake:
		case <-r.Context().Done():
			return
		case <-f.done:
			return
		}
	}
}

// position returns the number of the line behind which the stream is to start.
func position(r *http.Request, lines int64) (int64, error) {
	name, value := "Last-Event-ID", r.Header.Get("Last-Event-ID")
	if value == "" {
		name, value = "after", r.URL.Query().Get("after")
	}
	if value == "" {
		return lines, nil
	}
	after, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil || after < 0:
		return 0, fmt.Errorf("%s must be the number of a line of numbers.txt, or 0 for the start; it is %.40q", name, value)
	case after > lines:
		return 0, fmt.Errorf("%s is %d, but numbers.txt has %d lines; ask /state and start again", name, after, lines)
	}
	return after, nil
}

// join makes a reader of who has all lines up to after, if the ring has those
// behind it. First is what it is to be sent then: these lines, and how things
// stand when they are there. Otherwise it returns no reader, and up to which
// line the file has to be read.
func (f *Feed) join(after int64) (r *reader, first func() [][]byte, upTo int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if after+1 < f.oldest {
		return nil, nil, f.oldest - 1
	}
	from := f.next
	for n := f.state.Lines; n > after; from-- {
		if f.ring[(from-1)%remembered].line == n {
			n--
		}
	}
	var events [][]byte
	for ; from < f.next; from++ {
		if f.ring[from%remembered].line > 0 {
			events = append(events, f.text(from))
		}
	}
	state := f.snapshot()
	r = &reader{next: f.next, wake: make(chan struct{}, 1)}
	f.readers[r] = struct{}{}
	return r, func() [][]byte { return append(events, encode("state", 0, state)) }, 0
}

// errTooSlow is take's error when the ring has forgotten what is next.
var errTooSlow = errors.New("the reader is too far behind")

// take returns the next events for a reader.
func (f *Feed) take(r *reader) (events [][]byte, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next-r.next > remembered {
		return nil, errTooSlow
	}
	for n := r.next; n < f.next && len(events) < atOnce; n++ {
		events = append(events, f.text(n))
	}
	return events, nil
}

// gone counts a reader that was too slow, and what it misses. Others have left.
func (f *Feed) gone(r *reader, err error) {
	var timeout net.Error
	if err != errTooSlow && !(errors.As(err, &timeout) && timeout.Timeout()) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tooSlow++
	f.undelivered += f.next - r.next
}

func (f *Feed) leave(r *reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.readers, r)
}

// writer sends events to one reader, with a deadline.
type writer struct {
	io.Writer
	control *http.ResponseController
}

func (w *writer) write(events ...[]byte) error {
	if err := w.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	for _, e := range events {
		if _, err := w.Write(e); err != nil {
			return err
		}
	}
	return w.control.Flush()
}
