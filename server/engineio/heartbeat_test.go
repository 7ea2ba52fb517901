package engineio

import (
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
	for _, session := range []*Session{a, b, open("c")} {
		s.forget(session, false)
		session.pinged = true
		s.pong(session) // one that comes late
	}
	if n := s.pings.queue.Len() + s.pongs.queue.Len() + len(s.sessions); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// A session that joins nothing in time is ended, and the next call is not later than that.
func TestBeatEndsSessionsThatJoinNothing(t *testing.T) {
	t.Parallel()
	const timeout = 10 * time.Second
	s := &Server{options: Options{JoinTimeout: timeout}, slots: newSlots(Limits{})}
	session := &Session{server: s, ending: true}
	s.slots.acquire(session)
	began := time.Now()
	s.slots.setIdle(session, true)
	now := session.idleSince
	if now.Before(began) || now.After(time.Now()) {
		t.Errorf("it is idle since %v, want %v", now, began)
	}
	if next := s.beat(now.Add(timeout / 2)); !next.Equal(now.Add(timeout)) {
		t.Errorf("the next beat is %v after the session was opened", next.Sub(now))
	}
	if session.idle[0] == nil {
		t.Error("the session is ended too early")
	}
	if next := s.beat(now.Add(timeout)); next.Before(now.Add(time.Hour)) || session.idle[0] != nil {
		t.Errorf("the session is not ended, or the next beat is %v after it was opened", next.Sub(now))
	}
}
