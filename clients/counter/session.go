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

// session is one connection of a client. One goroutine does all of it.
type session struct {
	*client
	conn *socketio.Conn
	// pace runs until the next number is due, resend while an ack is waited
	// for, leave when there is nothing more to count.
	pace, resend, leave *time.Timer
	running             bool  // as count had it when pace was set
	stage               stage // as count had it when leave was set
}

// session counts through one connection. It returns nil when there is nothing
// more to do, else why the session ended.
func (c *client) session(ctx context.Context) error {
	conn, err := socketio.Dial(ctx, c.Server, socketio.Options{ConnectWait: c.wait.connect, Failed: c.failed, Heard: c.Heard})
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
			err = s.take(p)
		case <-s.pace.C:
			c.count.due = true
		case <-s.resend.C:
			err = s.repeat()
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
			err = s.play()
		}
		if err != nil {
			return err
		}
	}
}

// take tells the count what the server said.
func (s *session) take(p socketio.Packet) error {
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

// play does what the count says now: it sets the timers and sends the number
// whose turn it is.
func (s *session) play() error {
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
			s.leave.Reset(s.wait.quiet)
		case ended:
			s.leave.Reset(s.wait.linger + s.Interval)
		}
	}
	n := s.count.turn()
	if n == 0 {
		return nil
	}
	s.setDue(s.nextDue())
	if s.count.next <= s.Limit { // else the server says that it has n
		s.out.printNumber(fmt.Sprintf("%v counting: %s", s.count.seat, spelling.Spell(n)))
	}
	return s.send(n)
}

// firstDue returns when to count first in a game that has just started. The
// original server writes numbers as they come, so client2 lets client1 go
// ahead by half an interval: then they come in order.
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

// nextDue returns when to count after a number that is being sent now: an
// interval after that one was due, so that waits do not add up, but never as
// many at once as were missed.
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

// send sends n. The ack id is the number itself, so an ack tells what it is
// for, however often n was sent.
func (s *session) send(n int64) error {
	s.resend.Reset(s.wait.resend)
	return s.conn.Emit(n, protocol.NumberEvent, protocol.Number{ClientID: s.count.seat.String(), Number: n})
}

// repeat sends the number whose ack is waited for once more.
func (s *session) repeat() error {
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
