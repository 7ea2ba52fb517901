package live

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// HistoryName is the name of the history file, next to numbers.txt.
const HistoryName = "history.json"

// maxHistory is how many bytes of the history are read. Written histories are smaller
// than a tenth of it.
const maxHistory = 1 << 20

// history is the part of the state that survives a restart of the server. It is for
// display only: the server starts without it, and does not wait for it.
type history struct {
	Saved         time.Time        `json:"saved"`
	Lines         int64            `json:"lines"` // of numbers.txt
	Activities    []Activity       `json:"happenings"`
	Interruptions []Interruption   `json:"interruptions"`
	Interruption  *Interruption    `json:"interruption,omitempty"` // the current one
	Tally         Tally            `json:"tally"`
	Times         map[string]int64 `json:"times"` // of each seat
	Lanes         []Lane           `json:"lanes"`
}

// readHistory reads the history of a numbers.txt with that many lines. If there is no
// valid history, it returns an empty one and the reason.
func readHistory(path string, lines int64) (history, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return history{}, nil
	case err != nil:
		return history{}, err
	case !info.Mode().IsRegular(): // opening a FIFO would block
		return history{}, fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return history{}, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxHistory))
	if err != nil {
		return history{}, err
	}
	var h history
	if err := json.Unmarshal(text, &h); err != nil {
		return history{}, fmt.Errorf("%s is corrupt: %w", path, err)
	}
	if h.Lines > lines {
		return history{}, fmt.Errorf("%s belongs to a numbers.txt of %d lines, not of %d", path, h.Lines, lines)
	}
	h.Activities = latest(h.Activities, keptActivities)
	h.Interruptions = latest(h.Interruptions, keptInterruptions)
	return h, nil
}

// saveHistories saves the histories that have changed, and that of a feed that is not
// sparse at least every saveAlways, until Close.
func (h *Hub) saveHistories() {
	ticks := time.NewTicker(saveGap)
	defer ticks.Stop()
	var last time.Time
	for {
		select {
		case now := <-ticks.C:
			always := now.Sub(last) >= saveAlways
			if always {
				last = now
			}
			for _, f := range h.all() {
				f.mu.Lock()
				due := f.unsaved || always && !f.sparse
				f.mu.Unlock()
				if due {
					f.save(false)
				}
			}
		case <-h.closed:
			return
		}
	}
}

// save saves the history, unless it has no file, the last save was made, or the feed is
// sparse and nothing was counted yet.
func (f *Feed) save(lastTime bool) {
	if f.historyPath == "" {
		return
	}
	f.saving.Lock()
	defer f.saving.Unlock()
	f.mu.Lock()
	h := f.history(time.Now().UTC())
	f.unsaved = false
	f.mu.Unlock()
	if f.saved || f.sparse && h.Lines == 0 {
		return
	}
	f.saved = lastTime
	err := h.save(f.historyPath)
	if err != nil && !f.unsavable {
		f.hub.log.Warn("Cannot save the history of the page: " + err.Error())
	}
	f.unsavable = err != nil
}

// save writes the history to a new file, and renames it to path.
func (h history) save(path string) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	tmp := path + ".new"
	os.Remove(tmp) // it may be a FIFO, and opening that would block
	if err := os.WriteFile(tmp, text, 0o666); err != nil {
		os.Remove(tmp)
		return err
	}
	return os.Rename(tmp, path)
}

// restore sets the state from a history. It must be called before the feed is used.
func (f *Feed) restore(h history) {
	s := &f.state
	if s.Lines > h.Lines {
		h.Interruption = nil // it ended before the last server did
	}
	s.Activities, s.Interruptions, s.Interruption, s.Tally = h.Activities, h.Interruptions, h.Interruption, h.Tally
	if s.Tally.Since.IsZero() {
		s.Tally.Since = s.Started
	}
	for i := range s.Seats {
		s.Seats[i].Times = h.Times[s.Seats[i].Seat]
	}
	for _, a := range h.Activities {
		f.lastActivity = max(f.lastActivity, a.ID)
	}
	for _, i := range h.Interruptions {
		f.lastInterruption = max(f.lastInterruption, i.ID)
	}
	if h.Interruption != nil {
		f.lastInterruption = max(f.lastInterruption, h.Interruption.ID)
	}
	// The last server ran at least until it wrote its last line or its history.
	until := h.Saved
	if f.lastAt.After(until) {
		until = f.lastAt
	}
	for i := range s.Lanes {
		for _, lane := range h.Lanes {
			if lane.Name == s.Lanes[i].Name {
				s.Lanes[i].Spans = latest(lane.Spans, keptSpans)
				s.Lanes[i].end(until)
			}
		}
	}
}

// history returns the history to save. The caller holds f.mu.
func (f *Feed) history(now time.Time) history {
	s := f.state
	h := history{Saved: now, Lines: s.Lines, Activities: slices.Clone(s.Activities), Interruptions: slices.Clone(s.Interruptions),
		Interruption: s.Interruption, Tally: s.Tally, Times: make(map[string]int64)}
	for _, seat := range s.Seats {
		h.Times[seat.Seat] = seat.Times
	}
	for i := range s.Lanes {
		h.Lanes = append(h.Lanes, s.Lanes[i].clone())
	}
	return h
}
