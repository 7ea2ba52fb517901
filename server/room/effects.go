package room

import (
	"fmt"
	"time"

	"counting/server/game"
)

// apply carries out effects in order. It returns the acks of refused numbers, which
// the caller must send.
func (r *Room) apply(effects []game.Effect) (refused []game.Ack) {
	now := time.Now()
	for _, effect := range effects {
		switch e := effect.(type) {
		case game.Append:
			r.lastProgress, r.removed = now, 0
			r.Count.Append(e.UpTo)
		case game.AppendLine:
			r.lines = append(r.lines, e.Number.Value.Float64())
			r.Lines.AppendLine(e.Number.Words)
		case game.Emit:
			if e.Payload == nil {
				r.sessions[e.Session].Emit(e.Event)
			} else {
				r.sessions[e.Session].Emit(e.Event, e.Payload)
			}
		case game.Ack:
			if e.Refused != nil {
				refused = append(refused, e)
			} else {
				r.ack(e.Session, e.ID)
			}
		case game.Admit:
			r.sessions[e.Session].stopHold()
			r.sessions[e.Session].Admit()
		case game.Hold:
			r.sessions[e.Session].hold = time.AfterFunc(HoldTime, func() {
				r.step(func() []game.Effect { return r.rules.GiveUp(e.Session) })
			})
			r.endStall()
		case game.Refuse:
			r.sessions[e.Session].Refuse(e.Message)
			r.forget(e.Session)
		case game.Received: // for the log only
			r.sessions[e.Session].counted++
			if r.hasLine(now) {
				r.happened(e.Session, effect)
			}
		case game.Repeated:
			r.happened(e.Session, e)
		case game.Refused:
			// It is nil if the session was refused after HoldTime, just before its event.
			if m := r.sessions[e.Session]; m != nil {
				m.Slow()
			}
			r.happened(e.Session, e)
		case game.Seated:
			r.lastProgress = now
			r.happened(e.Session, e)
		case game.Full:
			r.happened(e.Session, e)
		case game.Left:
			r.happened(e.Session, e)
		case game.Alone:
			r.happened("", e)
		default:
			panic(fmt.Sprintf("no case for the effect %T", e))
		}
	}
	clear(effects) // they may hold what a client sent
	return refused
}

// ack sends an ack. It goes out when the lock is released, in one write with the others of
// the step to that session.
func (r *Room) ack(s game.Session, id game.AckID) {
	m := r.sessions[s]
	if !m.corked {
		m.Cork()
		m.corked = true
		r.corked = append(r.corked, m)
	}
	m.Ack(string(id))
}

// owe tells a session how many acks it waits for.
func (r *Room) owe(m *member) { m.Owe(r.rules.Unacked(m.id)) }

// happened adds a notice of an event. The session is "" if it is about none.
func (r *Room) happened(s game.Session, event any) {
	m := r.sessions[s]
	if m == nil && s != "" {
		m = &member{id: s}
	}
	r.notices.add(notice{event, m})
}

func (r *Room) forget(s game.Session) {
	if m := r.sessions[s]; m != nil {
		m.stopHold()
		m.Owe(0)
		delete(r.sessions, s)
	}
}

func (m *member) stopHold() {
	if m.hold != nil {
		m.hold.Stop()
	}
}
