package socketio

import (
	"container/list"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/zishang520/engine.io/v2/engine"
)

// Limits bound what clients may cost. Going over one is refused to, or ends,
// that client alone. 0 is no limit.
type Limits struct {
	// Sessions is how many Engine.IO sessions may be open, PerAddress how many
	// of them from one address.
	Sessions, PerAddress int
	// Waiting is how many packets may wait for one session that does not take
	// them; as many again may be on their way.
	Waiting int
}

// Limit names a limit that was reached.
type Limit string

// The limits there are.
const (
	// A handshake was refused: as many sessions are open as may be.
	LimitSessions   Limit = "sessions"
	LimitPerAddress Limit = "sessions_per_address"
	// A session that never joined gave way to a handshake.
	LimitAbandoned Limit = "abandoned_sessions"
	// A session that does not take what it is sent was ended.
	LimitWaiting Limit = "waiting_packets"
	// A request's body was refused.
	LimitBody Limit = "body"
)

// AllLimits are all of them.
var AllLimits = [...]Limit{LimitSessions, LimitPerAddress, LimitAbandoned, LimitWaiting, LimitBody}

// doors count who is in. A session that has not joined the namespace is only
// a guest: when there is no room, the oldest guest has to go, so that nobody
// can lock others out by opening sessions and leaving them.
type doors struct {
	limits Limits

	mu      sync.Mutex
	all     list.List // of *ticket, oldest first
	address map[string]int
}

// ticket is a session's place, from before its handshake on.
type ticket struct {
	doors   *doors
	address string

	// Guarded by the doors' lock.
	place  *list.Element // nil when it is given back
	conn   engine.Socket // nil until the handshake is done
	joined bool
}

// enter returns a ticket, and the guest who has to go for it, if any; or the
// limit that is reached.
func (d *doors) enter(address string) (t, out *ticket, reached Limit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	of := ""
	switch {
	case d.limits.PerAddress > 0 && d.address[address] >= d.limits.PerAddress:
		reached, of = LimitPerAddress, address
	case d.limits.Sessions > 0 && d.all.Len() >= d.limits.Sessions:
		reached = LimitSessions
	}
	if reached != "" {
		if out = d.guest(of); out == nil {
			return nil, nil, reached
		}
		d.remove(out)
	}
	t = &ticket{doors: d, address: address}
	t.place = d.all.PushBack(t)
	d.address[address]++
	return t, out, ""
}

// guest returns the oldest session that has not joined, of that address if it
// is not "".
func (d *doors) guest(address string) *ticket {
	for e := d.all.Front(); e != nil; e = e.Next() {
		if t := e.Value.(*ticket); !t.joined && t.conn != nil && (address == "" || t.address == address) {
			return t
		}
	}
	return nil
}

func (d *doors) remove(t *ticket) {
	if t.place == nil {
		return
	}
	d.all.Remove(t.place)
	t.place = nil
	if d.address[t.address]--; d.address[t.address] == 0 {
		delete(d.address, t.address)
	}
}

// opened notes that the handshake is done.
func (t *ticket) opened(conn engine.Socket) {
	t.doors.mu.Lock()
	defer t.doors.mu.Unlock()
	t.conn = conn
}

// setJoined notes that the session has joined the namespace or waits to, or
// that it has left or was refused. It does nothing to no ticket.
func (t *ticket) setJoined(joined bool) {
	if t == nil {
		return
	}
	t.doors.mu.Lock()
	defer t.doors.mu.Unlock()
	t.joined = joined
}

// leave gives the ticket back. It may be called more than once.
func (t *ticket) leave() {
	t.doors.mu.Lock()
	defer t.doors.mu.Unlock()
	t.doors.remove(t)
}

// leaveUnopened gives the ticket back of a handshake that opened no session.
func (t *ticket) leaveUnopened() {
	t.doors.mu.Lock()
	defer t.doors.mu.Unlock()
	if t.conn == nil {
		t.doors.remove(t)
	}
}

type ticketKey struct{}

// ticketOf returns the ticket of a session's handshake.
func ticketOf(conn engine.Socket) *ticket {
	t, _ := conn.Request().Request().Context().Value(ticketKey{}).(*ticket)
	return t
}

// admit lets a handshake in, and returns its request with the ticket in it; or
// it answers with a refusal.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) (*http.Request, *ticket) {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	t, out, reached := s.doors.enter(address)
	if t == nil {
		s.hit(reached)
		w.Header().Set("Retry-After", "5")
		if reached == LimitPerAddress {
			refuse(w, http.StatusTooManyRequests, fmt.Sprintf("There are %d sessions from %s, as many as one address may have", s.limits.PerAddress, address))
		} else {
			refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("There are %d sessions, as many as there may be", s.limits.Sessions))
		}
		s.log.Debug("refused a session", "limit", string(reached), "address", address)
		return nil, nil
	}
	if out != nil {
		s.hit(LimitAbandoned)
		s.log.Debug("ended a session that never joined", "address", out.address)
		go out.conn.Close(true) // it may wait for the connection
	}
	return r.WithContext(context.WithValue(r.Context(), ticketKey{}, t)), t
}
