package live

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// maxTaken is how many events a reader takes from the ring in one step.
const maxTaken = 256

// ServeState answers GET /state: the State as JSON.
func (f *Feed) ServeState(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	state := f.snapshot()
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store, no-transform")
	json.NewEncoder(w).Encode(state)
}

// ServeEvents answers GET /events: first the existing lines after the one that
// Last-Event-ID or else the parameter "after" names, or none without either; then the
// state, and then each event. With the parameter "once" the stream ends after the state:
// for browsers behind a proxy that buffers responses.
func (f *Feed) ServeEvents(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	lines := f.state.Lines
	f.mu.Unlock()
	after, err := position(r, lines)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.Method != http.MethodHead {
		release := f.hub.limiter.acquire(w, r, f)
		if release == nil {
			return
		}
		defer release()
	}
	w.Header().Set("Content-Type", "text/event-stream")
	// A proxy must neither compress nor buffer events.
	w.Header().Set("Cache-Control", "no-store, no-transform")
	w.Header().Set("X-Accel-Buffering", "no")
	once := r.URL.Query().Has("once")
	if !once {
		w.Header().Set("Connection", "close") // output.end closes it
	}
	if r.Method == http.MethodHead {
		return
	}
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{}) // the server's deadline is only for receiving the request
	out := &output{response: w, control: control}
	f.hub.streams.Add(1)
	err = out.write([]byte("retry: 1000\n\n"))
	defer func() {
		out.end(err)
		f.hub.streams.Add(-1)
	}()
	for err == nil {
		after, err = f.follow(r, out, after, once)
		if err == nil {
			return
		}
		if err == errBehind {
			err = nil
		}
	}
}

// follow sends a reader the lines after that number from the file and then events from
// the ring, until the reader leaves or the feed is closed, which is not an error. If the
// reader falls behind, the error is errBehind, and the first result is the last line that
// was sent.
func (f *Feed) follow(r *http.Request, out *output, after int64, once bool) (int64, error) {
	me, first, upTo := f.join(out, after)
	for me == nil {
		text, err := f.lines.encoded(r.Context(), after, upTo)
		if err != nil {
			return after, err // the reader reconnects; the writer reports a missing file
		}
		if err := f.deliver(out, text, nil); err != nil {
			return after, err
		}
		after += int64(len(text))
		me, first, upTo = f.join(out, after)
	}
	defer f.leave(me)
	if err := f.deliver(out, first(), me); err != nil || once {
		return after, err
	}
	if err := out.detach(r); err != nil {
		return after, err
	}
	for {
		events, err := f.take(me)
		if err != nil {
			return me.line, err
		}
		if len(events) > 0 {
			if err := f.deliver(out, events, me); err != nil {
				return after, err
			}
			continue
		}
		if f.isClosed() {
			return after, nil // it has been sent everything
		}
		if err := out.clearDeadline(); err != nil {
			return after, err
		}
		if !f.park(me) {
			continue
		}
		if err := out.wait(); err != nil {
			return after, f.sent(err, 0, me)
		}
		if rest, count := f.takeRest(me); len(rest) > 0 {
			if err := f.sent(out.writeRest(rest), count, me); err != nil {
				return after, err
			}
		}
	}
}

// deliver writes events to a reader.
func (f *Feed) deliver(out *output, events [][]byte, me *reader) error {
	return f.sent(out.write(events...), int64(len(events)), me)
}

// sent returns the error of writing events to a reader. A reader that has not received
// them in time, or whose machine has not acknowledged them, is counted as dropped, with the
// events that it misses.
func (f *Feed) sent(err error, missed int64, me *reader) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		f.mu.Lock()
		if me != nil {
			missed += f.ring.next - me.next
		}
		f.mu.Unlock()
		f.hub.mu.Lock()
		defer f.hub.mu.Unlock()
		f.hub.tooSlow++
		f.hub.undelivered += missed
	}
	return err
}

// position returns the number of the line after which the stream starts.
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
