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
	// writeTimeout is how long a reader may take to receive what it is sent.
	writeTimeout = 10 * time.Second
	// maxTaken is how many events a reader takes from the ring in one step.
	maxTaken = 256
)

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
	if r.Method == http.MethodHead {
		return
	}
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{}) // the server's deadline is only for receiving the request
	out := &writer{Writer: w, control: control}
	if out.write([]byte("retry: 1000\n\n")) != nil {
		return
	}
	once := r.URL.Query().Has("once")
	for {
		after, err = f.follow(r, out, after, once)
		if err != errBehind {
			return
		}
	}
}

// follow sends a reader the lines after that number from the file and then events from
// the ring, until the reader leaves or the feed is closed. If the reader falls behind,
// the error is errBehind, and the first result is the last line that was sent.
func (f *Feed) follow(r *http.Request, out *writer, after int64, once bool) (int64, error) {
	me, first, upTo := f.join(after)
	for me == nil {
		text, err := f.lines.encoded(r.Context(), after, upTo)
		if err != nil {
			return after, err // the reader reconnects; the writer reports a missing file
		}
		if err := f.deliver(out, text, nil); err != nil {
			return after, err
		}
		after += int64(len(text))
		me, first, upTo = f.join(after)
	}
	defer f.leave(me)
	if err := f.deliver(out, first(), me); err != nil || once {
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
		me.setIdle()
		select {
		case <-me.wake:
		case <-r.Context().Done():
			return after, r.Context().Err()
		case <-f.closed:
			return after, nil
		}
	}
}

// deliver writes events to a reader. A reader that does not receive them in time is
// counted as dropped, with the events that it misses.
func (f *Feed) deliver(out *writer, events [][]byte, me *reader) error {
	err := out.write(events...)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		missed := int64(len(events))
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

// writer sends events to one reader, with a deadline.
type writer struct {
	io.Writer
	control  *http.ResponseController
	deadline time.Time
}

func (w *writer) write(events ...[]byte) error {
	// Setting the deadline costs as much as a write, so it is not set for each one.
	if now := time.Now(); w.deadline.Sub(now) < writeTimeout-time.Second {
		w.deadline = now.Add(writeTimeout)
		if err := w.control.SetWriteDeadline(w.deadline); err != nil {
			return err
		}
	}
	for _, e := range events {
		if _, err := w.Write(e); err != nil {
			return err
		}
	}
	return w.control.Flush()
}
