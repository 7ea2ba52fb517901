package counter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"counting/clients/socketio"
	"counting/server/protocol"
	"counting/server/spelling"
)

// session is one connection of a client. Only one goroutine uses it.
type session struct {
	*client
	conn *socketio.Conn
	// pace fires when the next number is due, resend when an ack is overdue, leave when
	// the client may leave.
	pace, resend, leave *time.Timer
	running             bool  // count.running when pace was set
	stage               stage // count.stage() when leave was set
}

// session counts over one connection. It returns nil when the count is over for this
// client, and otherwise why the session ended.
func (c *client) session(ctx context.Context) error {
	conn, err := socketio.Dial(ctx, c.Server, socketio.Options{ConnectTimeout: c.wait.connect, Failed: c.failed, Heard: c.Heard})
	if err != nil {
		c.failed++
		return err
	}
	c.failed = 0
	c.print("Connected to server!")
	defer c.print("Disconnected from server!")
	defer conn.Close()
	defer c.count.lose()

	s := session{client: c, conn: conn, pace: stopped(), resend: stopped(), leave: stopped()}
	defer s.pace.Stop()
	defer s.resend.Stop()
	defer s.leave.Stop()
	seated := time.NewTimer(c.wait.seat)
	defer seated.Stop()
	printed := time.NewTicker(max(c.wait.print/10, time.Millisecond))
	defer printed.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p, ok := <-conn.Packets():
			if !ok {
				return conn.Err()
			}
			err = s.handle(p)
		case <-s.pace.C:
			c.count.due = true
		case <-s.resend.C:
			err = s.sendAgain()
		case <-seated.C:
			if c.count.seat == protocol.NoSeat {
				return errors.New("no seat is free")
			}
		case <-s.leave.C:
			return nil
		case <-printed.C:
			if s.out.stuck(s.wait.print) {
				return fmt.Errorf("nobody has read this output for %v; the seat is left to another client until it is read", s.wait.print)
			}
		}
		if err == nil {
			err = s.step()
		}
		if err != nil {
			return err
		}
	}
}

// handle updates the count by a packet of the server.
func (s *session) handle(p socketio.Packet) error {
	switch p.Type {
	case socketio.Event:
		switch p.Name {
		case protocol.ClientAssigned:
			var a protocol.Assignment
			if err := p.Arg(0, &a); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
			if err := s.count.assign(a); err != nil {
				return err
			}
			s.lastError = ""
			s.print("Assigned as %v, resuming from %d", s.count.seat, s.count.next)
		case protocol.StartGame:
			s.count.running = true
			s.print("Game starting!")
		case protocol.StopGame:
			s.count.running = false
			s.print("Game stopped!")
		}
	case socketio.Ack:
		var r protocol.Refusal
		if p.ID == s.count.sent && p.Arg(0, &r) == nil && r.Error != "" {
			s.count.refuse()
			return fmt.Errorf("%d was refused: %s", p.ID, r.Error)
		}
		s.count.ack(p.ID)
	case socketio.Broken:
		s.printError(errors.New(p.Message))
	}
	return nil
}

// step sets the timers by the state of the count, and sends the number that is due, if
// any.
func (s *session) step() error {
	if s.running != s.count.running {
		s.running = s.count.running
		s.pace.Stop()
		if s.count.due = false; s.running {
			s.setDue(s.firstDue())
		}
	}
	if stage := s.count.stage(); s.stage != stage && !s.Stay {
		s.stage = stage
		switch s.leave.Stop(); stage {
		case idle:
			s.leave.Reset(s.wait.idle)
		case ended:
			s.leave.Reset(s.wait.linger + s.Interval)
		}
	}
	n := s.count.turn()
	if n == 0 {
		return nil
	}
	s.setDue(s.nextDue())
	if s.count.next <= s.Limit { // otherwise n was counted before, by the server's assignment
		s.out.printNumber(fmt.Sprintf("%v counting: %s", s.count.seat, spelling.Spell(n)))
	}
	return s.send(n)
}

// firstDue returns when to send the first number of a game that has just started. The
// original server writes numbers as they arrive, so client2 waits half an interval longer
// than client1 to keep them in order.
func (s *session) firstDue() time.Time {
	due := time.Now()
	if s.count.seat == protocol.Client2 {
		due = due.Add(s.Interval / 2)
	}
	if due.Before(s.due) { // the game had only just stopped
		due = s.due
	}
	return due
}

// nextDue returns when to send the number after the one that is being sent now: an
// interval after that one was due, so that delays do not add up. Missed intervals are
// not made up for.
func (s *session) nextDue() time.Time {
	due := s.due.Add(s.Interval)
	if now := time.Now(); due.Before(now) {
		due = now.Add(s.Interval)
	}
	return due
}

func (s *session) setDue(due time.Time) {
	s.due = due
	s.pace.Reset(time.Until(due))
}

// send sends n. The ack id is n itself, so that an ack identifies its number, however
// often that was sent.
func (s *session) send(n int64) error {
	s.resend.Reset(s.wait.resend)
	return s.conn.Emit(n, protocol.NumberEvent, protocol.Number{ClientID: s.count.seat.String(), Number: n})
}

// sendAgain sends the number whose ack is outstanding again, if the game runs.
func (s *session) sendAgain() error {
	if s.count.sent == 0 {
		return nil
	}
	if !s.running {
		s.resend.Reset(s.wait.resend)
		return nil
	}
	return s.send(s.count.sent)
}

// stopped returns a timer that does not run.
func stopped() *time.Timer {
	t := time.NewTimer(0)
	t.Stop()
	return t
}
