package engineio

import (
	"slices"
	"testing"
	"time"
)

// Sessions are pinged after the interval, ended if they do not answer in time, and pinged
// again one interval after their answer. The time of the next call is that of what is due
// first.
func TestBeat(t *testing.T) {
	t.Parallel()
	const interval, timeout = 10 * time.Second, 3 * time.Second
	s := &Server{
		options:  Options{PingInterval: interval, PingTimeout: timeout, OnLimit: func(Limit) {}},
		sending:  newBudget(0, 0),
		wake:     make(chan struct{}, 1),
		sessions: make(map[string]*Session),
		slots:    newSlots(Limits{}),
		pings:    deadlines{after: interval},
		pongs:    deadlines{after: timeout},
	}
	open := func(id string) *Session {
		session := &Session{server: s, id: id}
		session.ending = true // so that nobody ends it
		s.sessions[id] = session
		s.mu.Lock()
		s.slots.acquire(session)
		s.startBeat(session)
		s.mu.Unlock()
		return session
	}
	beat := func(at time.Time, next time.Time) {
		t.Helper()
		if got := s.beat(at); got.Sub(next).Abs() > time.Second {
			t.Errorf("the next beat is at %v, want %v", got, next)
		}
	}
	pinged := func(session *Session) (n int) {
		session.mu.Lock()
		defer session.mu.Unlock()
		for _, p := range session.queue {
			if p == ping {
				n++
			}
		}
		return n
	}
	now := time.Now()
	beat(now, now.Add(time.Hour)) // without sessions
	a := open("a")
	if len(s.wake) != 1 {
		t.Error("the first session does not wake the heartbeat")
	}
	<-s.wake
	b := open("b")
	if len(s.wake) != 0 {
		t.Error("a further session wakes the heartbeat")
	}
	beat(now.Add(interval/2), now.Add(interval))
	if pinged(a)+pinged(b) != 0 {
		t.Error("a session is pinged too early")
	}
	s.pong(a) // not asked for
	at := now.Add(interval + time.Second)
	beat(at, at.Add(timeout))
	if pinged(a) != 1 || pinged(b) != 1 || !a.pinged || !b.pinged {
		t.Errorf("the sessions are pinged %d and %d times", pinged(a), pinged(b))
	}
	s.pong(a) // its next ping is due one interval from the real now
	if a.pinged || s.pings.queue.Len() != 1 || s.pongs.queue.Len() != 1 {
		t.Errorf("after a PONG %d are to be pinged, and %d to answer", s.pings.queue.Len(), s.pongs.queue.Len())
	}
	beat(at, at.Add(timeout))
	s.pong(a)
	beat(at.Add(timeout), at.Add(2*timeout)) // b has not answered
	if b.beat != nil || a.beat == nil || pinged(a) != 3 || pinged(b) != 1 {
		t.Error("the wrong session is ended")
	}
	s.forget(a, false)
	s.forget(b, false)
	if n := s.pings.queue.Len() + s.pongs.queue.Len() + len(s.sessions); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// Sessions that have joined nothing are ended in time, the oldest first.
func TestOverdue(t *testing.T) {
	t.Parallel()
	const after = 10 * time.Second
	l := newSlots(Limits{})
	var sessions []*Session
	start := time.Unix(1000, 0)
	for i := range 4 {
		s := &Session{group: "g"}
		l.acquire(s)
		l.setIdle(s, true)
		s.idleSince = start.Add(time.Duration(i) * time.Second)
		sessions = append(sessions, s)
	}
	l.setIdle(sessions[1], false) // it has joined
	hour := start.Add(time.Hour)
	for _, tt := range []struct {
		at   time.Duration
		want []*Session
		next time.Time
	}{
		{after - 1, nil, start.Add(after)},
		{after, sessions[:1], start.Add(after + 2*time.Second)},
		{after + 5*time.Second, sessions[2:], hour},
		{time.Minute, nil, hour},
	} {
		got, next := l.overdue(start.Add(tt.at-after), hour, after)
		if !slices.Equal(got, tt.want) || !next.Equal(tt.next) {
			t.Errorf("after %v, %d are overdue, and the next at %v; want %d, %v", tt.at, len(got), next, len(tt.want), tt.next)
		}
	}
	if _, next := l.overdue(start, start, after); !next.Equal(start) {
		t.Errorf("what is earlier is not kept: %v", next)
	}
}

// The next request of a session that has ended is known, of the last 256 that have.
func TestTombstones(t *testing.T) {
	t.Parallel()
	var ended tombstones
	if ended.take("x") {
		t.Error("a session that never was has ended")
	}
	const most = len(ended.ring)
	ids := make([]string, 2*most+3)
	for i := range ids {
		ids[i] = newID()
		ended.add(ids[i])
		if len(ended.ids) > most {
			t.Fatalf("%d are kept", len(ended.ids))
		}
	}
	for i, id := range ids {
		if got, want := ended.take(id), i >= len(ids)-most; got != want {
			t.Errorf("session %d of %d is known: %v", i, len(ids), got)
		}
		if ended.take(id) {
			t.Errorf("session %d is known twice", i)
		}
	}
}
