package main

import (
	"testing"
	"time"
)

// A Python client whose connection broke while it connected reconnected without its main
// thread. It kept its seat and answered pings, and the count stopped.
func TestAClientThatDoesNotBeginToCountIsToldToLeave(t *testing.T) {
	t.Parallel()
	const leave = "41"
	// answers answers pings of the peer until it is sent another packet.
	answers := func(p *peer) string {
		done := make(chan string)
		go func() {
			for {
				if packet, err := p.next(); err != nil || packet != "2" {
					done <- packet
					return
				}
			}
		}()
		for {
			select {
			case packet := <-done:
				return packet
			case <-time.After(20 * time.Millisecond):
				p.send("3")
			}
		}
	}
	t.Run("it_is_and_the_one_that_waits_gets_its_seat", func(t *testing.T) {
		t.Parallel()
		s := startServer(t, "-patience", "200ms")
		a, b := joinTwo(t, s)
		c := dial(t, s)
		c.expect("0{")
		c.send("40")
		for range 20 { // it is not b's turn
			b.send("3")
		}
		if packet := answers(a); packet != leave {
			t.Fatalf("it was sent %q, not %q", packet, leave)
		}
		a.conn.Close()
		b.expect(stopped, started)
		c.expect(assigned1, started, joined)
	})
	t.Run("nor_does_it_matter_that_the_goal_is_passed", func(t *testing.T) {
		t.Parallel()
		s := startServer(t, "-patience", "1ns", "-goal", "1")
		a, b := joinTwo(t, s)
		count(a, "client1", 1, 1)
		a.expect("431[]")
		count(b, "client2", 2, 2)
		b.expect("432[]")
		a.conn.Close()
		b.expect(stopped)
		a = join(t, s, assigned1, started, joined)
		b.expect(started)
		if packet := answers(a); packet != leave {
			t.Fatalf("it was sent %q, not %q", packet, leave)
		}
	})
	t.Run("not_one_that_has_counted", func(t *testing.T) {
		t.Parallel()
		s := startServer(t, "-patience", "1ns")
		a, b := joinTwo(t, s)
		count(a, "client1", 1, 1)
		a.expect("431[]")
		count(b, "client2", 2, 2)
		b.expect("432[]")
		a.send("3", "3", "3")
		count(a, "client1", 3, 3)
		a.expect("433[]")
	})
	t.Run("one_that_stays_is_cut_off_at_a_following_heartbeat", func(t *testing.T) {
		t.Parallel()
		s := startServer(t, "-patience", "1ns")
		a, b := joinTwo(t, s)
		if packet := answers(a); packet != leave {
			t.Fatalf("it was sent %q, not %q", packet, leave)
		}
		a.send("3")
		b.expect(stopped)
		if packet, err := a.next(); err == nil {
			t.Errorf("it is still sent %q", packet)
		}
		join(t, s, assigned1, started, joined)
		b.expect(started)
	})
	t.Run("one_that_counts_no_further_is_cut_off_while_another_waits", func(t *testing.T) {
		t.Parallel()
		s := startServer(t, "-patience", "1ns")
		a, b := joinTwo(t, s)
		count(a, "client1", 1, 1)
		count(b, "client2", 2, 2)
		a.expect("431[]")
		b.expect("432[]")
		a.send("3", "3")
		a.send(number("4", "client1", 2)) // nobody waits: it stays
		a.expect(`434[{"error":`)
		c := dial(t, s)
		c.expect("0{")
		c.send("40")
		c.expect(assigned1, started, joined)
		b.expect(stopped, started)
		if packet, err := a.next(); err == nil {
			t.Errorf("it is still sent %q", packet)
		}
	})
	for name, args := range map[string][]string{
		"nobody_while_it_is_turned_off": {"-patience", "0"},
		"nobody_in_faithful_mode":       {"-patience", "1ns", "-faithful"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, args...)
			a, b := joinTwo(t, s)
			count(a, "client1", 1, 1)
			a.expect("431[]")
			b.send("3", "3", "3")
			count(b, "client2", 2, 2)
			b.expect("432[]")
		})
	}
}
