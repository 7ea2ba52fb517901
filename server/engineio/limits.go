package engineio

import (
	"container/list"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Limits bound the resources that clients may use, in total and for each address as
// defined by clientaddr.Key. Only the session or request that exceeds a limit is
// refused or ended. 0 means no limit.
type Limits struct {
	// Sessions bounds the open sessions. When it is reached, the oldest session that
	// has not joined anything (see Session.SetJoined) is evicted for a new one.
	Sessions, SessionsPerAddress int
	// SessionsPerGroup bounds the open sessions of each group: see Options.Admit.
	SessionsPerGroup int
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
	// LimitSessions, LimitSessionsPerAddress and LimitSessionsPerGroup: a handshake
	// was refused.
	LimitSessions           Limit = "sessions"
	LimitSessionsPerAddress Limit = "sessions_per_address"
	LimitSessionsPerGroup   Limit = "sessions_per_group"
	// LimitAbandoned: a session that had joined nothing was evicted by a handshake.
	LimitAbandoned Limit = "abandoned_sessions"
	// LimitPayload: a packet or a request body was larger than MaxPayload.
	LimitPayload Limit = "body"
	// LimitReceiving: a packet was refused or a session ended, since too many bytes are
	// being received, or are kept by the handler.
	LimitReceiving Limit = "receiving_bytes"
	// LimitSending: a session was ended, since too many bytes wait to be sent.
	LimitSending Limit = "sending_bytes"
	// LimitPackets: a session was ended, since too many packets wait for it.
	LimitPackets Limit = "waiting_packets"
)

// AllLimits lists every Limit.
var AllLimits = [...]Limit{LimitSessions, LimitSessionsPerAddress, LimitSessionsPerGroup, LimitAbandoned, LimitPayload, LimitReceiving, LimitSending, LimitPackets}

// slots counts the open sessions. Those that have joined nothing are idle, and are
// kept in the order in which they were opened, so that the oldest can be evicted:
// abandoned sessions cannot lock out new clients. Server.mu guards it.
type slots struct {
	limits  Limits
	all     pool
	address map[netip.Addr]*pool
	group   map[string]*pool
}

// pool is a set of sessions to which one limit applies.
type pool struct {
	open int
	idle list.List // of *Session
}

func newSlots(limits Limits) slots {
	return slots{limits: limits, address: make(map[netip.Addr]*pool), group: make(map[string]*pool)}
}

// pools returns the session's pools; nil stands for one that is empty.
func (l *slots) pools(s *Session) [3]*pool {
	return [3]*pool{&l.all, l.address[s.addressKey], l.group[s.group]}
}

// acquire takes a slot for a new session. It returns the sessions that were evicted
// for it, which the caller must end, or the limit that is reached.
func (l *slots) acquire(s *Session) (victims []*Session, reached Limit) {
	pools := l.pools(s)
	for _, limit := range []struct {
		name Limit
		most int
		pool *pool
		has  func(*Session) bool
	}{
		{LimitSessionsPerAddress, l.limits.SessionsPerAddress, pools[1], func(v *Session) bool { return v.addressKey == s.addressKey }},
		{LimitSessionsPerGroup, l.limits.SessionsPerGroup, pools[2], func(v *Session) bool { return v.group == s.group }},
		{LimitSessions, l.limits.Sessions, pools[0], func(*Session) bool { return true }},
	} {
		// A session that is evicted for one limit counts for the others, too.
		if limit.most <= 0 || limit.pool == nil || limit.pool.open < limit.most || slices.ContainsFunc(victims, limit.has) {
			continue
		}
		victim := limit.pool.oldest()
		if victim == nil {
			return nil, limit.name
		}
		victims = append(victims, victim)
	}
	for _, victim := range victims {
		l.release(victim)
	}
	if l.address[s.addressKey] == nil {
		l.address[s.addressKey] = new(pool)
	}
	if l.group[s.group] == nil {
		l.group[s.group] = new(pool)
	}
	for _, p := range l.pools(s) {
		p.open++
	}
	return victims, ""
}

// oldest returns the session that has been idle for the longest time, or nil.
func (p *pool) oldest() *Session {
	if e := p.idle.Front(); e != nil {
		return e.Value.(*Session)
	}
	return nil
}

// setIdle records whether the session may be evicted.
func (l *slots) setIdle(s *Session, idle bool) {
	if s.released || idle == (s.idle[0] != nil) {
		return
	}
	if idle {
		s.idleSince = time.Now()
	}
	for i, p := range l.pools(s) {
		if idle {
			s.idle[i] = p.idle.PushBack(s)
		} else {
			p.idle.Remove(s.idle[i])
			s.idle[i] = nil
		}
	}
}

// release releases the session's slot. It may be called more than once.
func (l *slots) release(s *Session) {
	if s.released {
		return
	}
	l.setIdle(s, false)
	s.released = true
	pools := l.pools(s)
	for _, p := range pools {
		p.open--
	}
	if pools[1].open == 0 {
		delete(l.address, s.addressKey)
	}
	if pools[2].open == 0 {
		delete(l.group, s.group)
	}
}

// overdue returns the sessions that have been idle since before. The time is when the
// next session will have been idle for after, or next if that is earlier.
func (l *slots) overdue(before, next time.Time, after time.Duration) ([]*Session, time.Time) {
	var sessions []*Session
	for s := l.all.oldest(); s != nil; s = l.all.oldest() {
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

// resize changes an allocation of that address from one size to another; only bytes
// above the allowance count. If the budget would be exceeded, it does nothing and
// returns errOverBudget. Shrinking always succeeds.
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
