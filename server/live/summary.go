package live

import "time"

// Summary describes a game in the overview of all games.
type Summary struct {
	Game  string     `json:"game"` // "" is the default game
	State GameState  `json:"state"`
	Since *time.Time `json:"since,omitempty"` // since when it does not count
	Count int64      `json:"count"`
	Goal  int64      `json:"goal"`
	At    *time.Time `json:"at,omitempty"` // when the last line was written, if known
	Seats []string   `json:"seats"`        // that are taken
	Cause Cause      `json:"cause,omitempty"`
	Fault string     `json:"fault,omitempty"` // why the file cannot be written
	Queue int        `json:"waiting"`         // clients that wait for a seat
}

// GameState is the state of a game in the overview.
type GameState string

// The states. In the first two the game does not count.
const (
	InTrouble GameState = "trouble"  // the count is interrupted
	Idle      GameState = "idle"     // a client is missing, without an interruption
	Counting  GameState = "counting" // both clients are connected
	Done      GameState = "done"     // the goal is reached
	Closed    GameState = "closed"   // the game is not open
)

// Summary returns the game's summary.
func (f *Feed) Summary() Summary {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.state
	summary := Summary{Game: f.game, Count: s.Count, Goal: s.Goal, Seats: []string{}, Queue: s.Waiting}
	if at := f.lastAt; !at.IsZero() {
		summary.At = &at
	}
	for _, seat := range s.Seats {
		if seat.Taken {
			summary.Seats = append(summary.Seats, seat.Seat)
		}
	}
	still := func(state GameState, since time.Time) { summary.State, summary.Since = state, &since }
	stopped := s.Interruption
	switch {
	case f.done():
		summary.State = Done
	case s.Storage != nil:
		still(InTrouble, s.Storage.Since)
		summary.Cause, summary.Fault = CauseStorage, s.Storage.Reason
	case stopped != nil && (stopped.Cause != CauseServer || s.Running):
		still(InTrouble, stopped.After)
		summary.Cause = stopped.Cause
	case !s.Running:
		still(Idle, s.Since)
	default:
		summary.State = Counting
	}
	return summary
}
