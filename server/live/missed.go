package live

import (
	"time"

	"counting/server/protocol"
)

// Missed notes that happenings were left out, and which seats are taken now. No
// line was left out.
func (f *Feed) Missed(_ int64, taken []protocol.Seat) {
	now := time.Now().UTC()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disturbed = true
	is := make(map[string]bool)
	for _, seat := range taken {
		is[seat.String()] = true
	}
	for i := range f.state.Seats {
		if s := &f.state.Seats[i]; s.Taken != is[s.Seat] {
			s.Taken, s.Since = is[s.Seat], now
		}
	}
	if running := len(taken) == len(protocol.Seats); running != f.state.Running {
		f.state.Running, f.state.Since = running, now
	}
	f.publish(event{text: encode("state", 0, f.snapshot())})
}
