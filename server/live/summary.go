package live

import "time"

// Summary is what the overview of all games shows of one.
type Summary struct {
	Game  string     `json:"game"` // "" is the default game
	State GameState  `json:"state"`
	Since *time.Time `json:"since,omitempty"` // when it began to stand still
	Count int64      `json:"count"`
	Goal  int64      `json:"goal"`
	At    *time.Time `json:"at,omitempty"` // when the last line was written, if that is known
	Seats []string   `json:"seats"`        // that are taken
	Cause Cause      `json:"cause,omitempty"`
	Fault string     `json:"fault,omitempty"` // why the file cannot be written
	Queue int        `json:"waiting"`         // clients that wait for a seat
}

// GameState is how a game is doing.
type GameState string

// The states. A game stands still in the first two.
const (
	InTrouble GameState = "trouble"  // interrupted
	Idle      GameState = "idle"     // nobody was interrupted, and a client is missing
	Counting  GameState = "counting" // both clients are there
	Done      GameState = "done"     // the goal is reached
	Closed    GameState = "closed"   // nobody is there; the file is closed
)

// Summary returns what the overview shows.
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
