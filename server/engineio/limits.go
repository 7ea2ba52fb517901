package engineio

import (
	"container/list"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// Limits bound what clients may cost, in all and for each address as
// clientaddr.Key counts them. Going over one is refused to, or ends, the
// session or request that goes over, and nobody else. 0 is no limit.
type Limits struct {
	// Sessions bounds the open sessions. When one is reached, the oldest session
	// that has not joined anything (see Session.SetJoined) gives way to a new one.
	Sessions, SessionsPerAddress int
	// Receiving bounds the bytes of packets that have been received in part.
	// The first 4 KiB of each packet are not counted.
	Receiving, ReceivingPerAddress int64
	// Sending bounds the bytes that wait to be sent. The first 4 KiB of each
	// session are not counted.
	Sending, SendingPerAddress int64
	// PacketsPerSession bounds how many packets may wait for one session.
	PacketsPerSession int
}

// Limit names a limit that was reached.
type Limit string

// The limits.
const (
	// LimitSessions and LimitSessionsPerAddress: a handshake was refused.
	LimitSessions           Limit = "sessions"
	LimitSessionsPerAddress Limit = "sessions_per_address"
	// LimitAbandoned: a session that had joined nothing gave way to a handshake.
	LimitAbandoned Limit = "abandoned_sessions"
	// LimitPayload: a packet or a request body was larger than MaxPayload.
	LimitPayload Limit = "body"
	// LimitReceiving: a packet was refused, since too much is being received.
	LimitReceiving Limit = "receiving_bytes"
	// LimitSending: a session was ended, since too many bytes wait to be sent.
	LimitSending Limit = "sending_bytes"
	// LimitPackets: a session was ended, since too many packets wait for it.
	LimitPackets Limit = "waiting_packets"
)

// AllLimits lists every Limit.
var AllLimits = [...]Limit{LimitSessions, LimitSessionsPerAddress, LimitAbandoned, LimitPayload, LimitReceiving, LimitSending, LimitPackets}

// slots counts the open sessions. Those that have joined nothing are kept in
// the order in which they were opened, so that the oldest can give way: nobody
// can lock others out by opening sessions and leaving them. Server.mu guards it.
type slots struct {
	limits  Limits
	open    int
	idle    list.List // of *Session
	address map[netip.Addr]*addressSlots
}

type addressSlots struct {
	open int
	idle list.List // of *Session
}

// acquire takes a slot for a new session of that address. If there is no free
// one it returns the session that has to give way, or the limit that is reached.
func (l *slots) acquire(address netip.Addr) (victim *Session, reached Limit) {
	of := l.address[address]
	switch {
	case of != nil && l.limits.SessionsPerAddress > 0 && of.open >= l.limits.SessionsPerAddress:
		reached, victim = LimitSessionsPerAddress, oldest(&of.idle)
	case l.limits.Sessions > 0 && l.open >= l.limits.Sessions:
		reached, victim = LimitSessions, oldest(&l.idle)
	}
	if reached != "" && victim == nil {
		return nil, reached
	}
	if victim != nil {
		l.release(victim)
		of = l.address[address]
	}
	if of == nil {
		of = new(addressSlots)
		l.address[address] = of
	}
	l.open++
	of.open++
	return victim, ""
}

func oldest(l *list.List) *Session {
	if e := l.Front(); e != nil {
		return e.Value.(*Session)
	}
	return nil
}

// setIdle notes whether the session may give way.
func (l *slots) setIdle(s *Session, idle bool) {
	of := l.address[s.addressKey]
	switch {
	case s.released || idle == (s.idle != nil):
	case idle:
		s.idleSince = time.Now()
		s.idle, s.idleOfAddress = l.idle.PushBack(s), of.idle.PushBack(s)
	default:
		l.idle.Remove(s.idle)
		of.idle.Remove(s.idleOfAddress)
		s.idle, s.idleOfAddress = nil, nil
	}
}

// release gives the session's slot back. It may be called more than once.
func (l *slots) release(s *Session) {
	if s.released {
		return
	}
	l.setIdle(s, false)
	s.released = true
	l.open--
	of := l.address[s.addressKey]
	if of.open--; of.open == 0 {
		delete(l.address, s.addressKey)
	}
}

// overdue returns the sessions that have joined nothing since before that time,
// and when the next one will have, if that is before next.
func (l *slots) overdue(before, next time.Time, after time.Duration) ([]*Session, time.Time) {
	var sessions []*Session
	for s := oldest(&l.idle); s != nil; s = oldest(&l.idle) {
		if s.idleSince.After(before) {
			if at := s.idleSince.Add(after); at.Before(next) {
				next = at
			}
			break
		}
		l.setIdle(s, false)
		sessions = append(sessions, s)
	}
	return sessions, next
}

// allowance is how many bytes of a packet that is being received, and of what
// waits for a session, a budget does not count.
const allowance = 4 << 10

var errOverBudget = errors.New("over the budget of bytes")

// A budget counts bytes, in all and for each address. It is safe for concurrent
// use.
type budget struct {
	total, perAddress int64 // limits, 0 is none

	mu   sync.Mutex
	used int64
	by   map[netip.Addr]int64
}

func newBudget(total, perAddress int64) *budget {
	return &budget{total: total, perAddress: perAddress, by: make(map[netip.Addr]int64)}
}

// resize changes what somebody at that address holds from one size to another,
// of which the allowance is free. It does nothing and returns errOverBudget if
// there is not as much left; less is always granted.
func (b *budget) resize(address netip.Addr, from, to int64) error {
	delta := max(0, to-allowance) - max(0, from-allowance)
	if delta == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if delta > 0 && (b.total > 0 && b.used+delta > b.total || b.perAddress > 0 && b.by[address]+delta > b.perAddress) {
		return errOverBudget
	}
	b.used += delta
	if b.by[address] += delta; b.by[address] == 0 {
		delete(b.by, address)
	}
	return nil
}

// inUse returns how many bytes are counted.
func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
