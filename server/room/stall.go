package room

import (
	"time"

	"counting/server/clientaddr"
	"counting/server/game"
)

const (
	// cutOffFactor times StallTimeout is how long a client may delay the count while
	// another waits for a seat.
	cutOffFactor = 3
	// maxDoublings bounds how often these times double: they double with each client
	// that was removed without a line since. Clients that are done and stay connected
	// must not be removed again and again because another one waits.
	maxDoublings = 6
)

// Heartbeat is called when a session has answered a ping. It removes a client that
// delays the count from its seat.
//
// A client that has not sent a number for StallTimeout in this session, although it
// is its turn, is asked to leave. A Python client whose connection breaks while it
// connects, or that counts too soon after a reconnect, loses its main thread, and its
// other threads keep the seat forever. Asked to leave, they end, the process ends,
// and its supervisor restarts it. A client that has counted in this session is never
// asked to leave: its main thread would hang. A client that stays nevertheless is cut
// off at its next heartbeat.
//
// A client that has not counted for cutOffFactor times StallTimeout, while another
// one waits for a seat, is cut off.
func (r *Room) Heartbeat(id string) {
	r.do(func() {
		s := r.sessions[game.Session(id)]
		if s == nil || r.closed || r.StallTimeout == 0 {
			return
		}
		turn := r.rules.Turn()
		stalled := time.Since(r.lastProgress)
		switch {
		case s.dismissed:
			r.happened(game.Session(id), cutOff{"it was asked to leave and stayed"})
			s.Close()
		case turn.Session == game.Session(id) && !turn.Heard && stalled >= r.stallTimeout() && r.missed(turn):
			r.removed++
			s.dismissed = true
			r.happened(game.Session(id), dismissed{})
			s.Dismiss()
		default:
			r.endStall()
		}
	})
}

// missed reports whether a client is waiting for the number that is due: the other
// seat, which has counted ahead, or one that waits for a seat. If there is none, the
// clients may be done. But two that have lost their main threads do not wait for each
// other either, so the first client since the last line is removed anyway.
func (r *Room) missed(turn game.Turn) bool {
	return turn.Awaited || r.rules.Waiting() > 0 || r.removed == 0
}

// stallTimeout returns how long a client may delay the count now before it is asked
// to leave.
func (r *Room) stallTimeout() time.Duration {
	return r.StallTimeout << min(r.removed, maxDoublings)
}

// endStall cuts off the client that delays the count, if another one waits for a
// seat.
func (r *Room) endStall() {
	turn := r.rules.Turn()
	s := r.sessions[turn.Session]
	if s == nil || r.StallTimeout == 0 || r.rules.Waiting() == 0 || time.Since(r.lastProgress) < cutOffFactor*r.stallTimeout() {
		return
	}
	r.removed++
	r.lastProgress = time.Now() // not again before it has disconnected
	r.happened(turn.Session, cutOff{"it holds up the count, and another waits for a seat"})
	s.Close()
}

// network returns what counts as one address: for IPv6 the /64, whose addresses a
// client can choose freely.
func network(address string) string {
	if ip := clientaddr.Parse(address); ip.IsValid() {
		return clientaddr.Key(ip).String()
	}
	return address
}
