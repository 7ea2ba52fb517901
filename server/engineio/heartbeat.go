package engineio

import (
	"container/list"
	"time"
)

// deadlines is a queue of sessions with the same timeout, so the one that was added
// first is due first: one timer serves all of them, and adding and removing take
// constant time. Server.mu guards it.
type deadlines struct {
	after time.Duration
	queue list.List // of deadline, the earliest in front
}

type deadline struct {
	session *Session
	at      time.Time
}

func (d *deadlines) add(s *Session, now time.Time) *list.Element {
	return d.queue.PushBack(deadline{s, now.Add(d.after)})
}

// due removes and returns the sessions whose deadline has passed.
func (d *deadlines) due(now time.Time) (sessions []*Session) {
	for e := d.queue.Front(); e != nil && !e.Value.(deadline).at.After(now); e = d.queue.Front() {
		sessions = append(sessions, d.queue.Remove(e).(deadline).session)
	}
	return sessions
}

// next returns when the first session is due, or otherwise if there is none.
func (d *deadlines) next(otherwise time.Time) time.Time {
	if e := d.queue.Front(); e != nil && e.Value.(deadline).at.Before(otherwise) {
		return e.Value.(deadline).at
	}
	return otherwise
}

// heartbeat pings the sessions and ends those that do not answer in time, and
// those that joined nothing in time. It returns when the server is closed.
func (s *Server) heartbeat() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(s.beat(time.Now())))
		select {
		case <-timer.C:
		case <-s.wake:
		case <-s.closed:
			return
		}
	}
}

// beat handles the deadlines that have passed, and returns when to call it again.
func (s *Server) beat(now time.Time) time.Time {
	s.mu.Lock()
	toPing, silent := s.pings.due(now), s.pongs.due(now)
	for _, session := range silent {
		session.beat = nil
	}
	for _, session := range toPing {
		session.beat, session.pinged = s.pongs.add(session, now), true
	}
	var unjoined []*Session
	next := s.pongs.next(s.pings.next(now.Add(time.Hour)))
	if s.options.JoinTimeout > 0 {
		unjoined, next = s.slots.overdue(now.Add(-s.options.JoinTimeout), next, s.options.JoinTimeout)
	}
	s.mu.Unlock()

	for _, session := range toPing {
		session.send(ping)
	}
	for _, session := range silent {
		session.end("ping timeout")
	}
	for _, session := range unjoined {
		session.end("it joined nothing in time")
	}
	return next
}

// startBeat makes the session's first ping due one interval from now.
func (s *Server) startBeat(session *Session) {
	session.beat = s.pings.add(session, time.Now())
	if s.pings.queue.Len() == 1 {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// pong makes the next ping due one interval from now, if one was to be answered. A
// PONG that was not asked for changes nothing.
func (s *Server) pong(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if session.beat != nil && session.pinged {
		s.pongs.queue.Remove(session.beat)
		session.pinged = false
		s.startBeat(session)
	}
}

// stopBeat ends the session's heartbeat. The caller holds s.mu.
func (s *Server) stopBeat(session *Session) {
	if session.beat == nil {
		return
	}
	if session.pinged {
		s.pongs.queue.Remove(session.beat)
	} else {
		s.pings.queue.Remove(session.beat)
	}
	session.beat = nil
}
