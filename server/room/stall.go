package room

import (
	"time"

	"counting/server/clientaddr"
	"counting/server/game"
)

const (
	// cutAfter is how many times Patience a client may hold up the count while
	// another waits for a seat.
	cutAfter = 3
	// mostGrace bounds how often these times double: with each client that had
	// to go and was followed by one that does not count either. Clients that are
	// done and stay are not to be sent away again and again for one that waits.
	mostGrace = 6
)

// Heartbeat is the event of a session that has answered a ping, so that
// somebody is there. It takes a client's seat from it that holds up the count.
//
// One that has not begun to count for Patience, though it is its turn, is asked
// to leave. A Python client whose connection breaks while it connects, or which
// is quick to count when it is back, loses its main thread: the others keep a
// seat for ever. Asked to leave, they end, and so the process does, which its
// supervisor starts again. A client that has counted in this session is never
// asked: its main thread would hang. Who stays nevertheless is cut off at its
// next heartbeat.
//
// One that has not counted for a multiple of Patience, while another waits for
// a seat, is cut off.
func (r *Room) Heartbeat(id string) {
	r.do(func() {
		s := r.sessions[game.Session(id)]
		if s == nil || r.closed || r.Patience == 0 {
			return
		}
		turn := r.rules.Turn()
		stood := time.Since(r.moved)
		switch {
		case s.dismissed:
			r.happened(game.Session(id), cutOff{"it was asked to leave and stayed"})
			s.Close()
		case turn.Session == game.Session(id) && !turn.Heard && stood >= r.grace() && r.missed(turn):
			r.removed++
			s.dismissed = true
			r.happened(game.Session(id), dismissed{})
			s.Dismiss()
		default:
			r.endStall()
		}
	})
}

// missed tells whether anybody misses the number that the count waits for: the
// other seat, which has counted on, or one that waits for a seat. If nobody
// does, the clients may be done; but two that have lost their main threads miss
// nothing either, so the first one since the last line may be asked to leave.
func (r *Room) missed(turn game.Turn) bool {
	return turn.Awaited || r.rules.Waiting() > 0 || r.removed == 0
}

// grace is how long a client may hold up the count before it is asked to leave.
func (r *Room) grace() time.Duration { return r.Patience << min(r.removed, mostGrace) }

// endStall cuts off the client that holds up the count, if another waits.
func (r *Room) endStall() {
	turn := r.rules.Turn()
	s := r.sessions[turn.Session]
	if s == nil || r.Patience == 0 || r.rules.Waiting() == 0 || time.Since(r.moved) < cutAfter*r.grace() {
		return
	}
	r.removed++
	r.moved = time.Now() // not again before it is gone
	r.happened(turn.Session, cutOff{"it holds up the count, and another waits for a seat"})
	s.Close()
}

// network returns what counts as one address: an IPv6 client has a /64 to
// choose from.
func network(address string) string {
	if ip := clientaddr.Parse(address); ip.IsValid() {
		return clientaddr.Key(ip).String()
	}
	return address
}
