package engineio

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestDebt(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	var d debt
	if got := d.delay(now); got != 0 {
		t.Errorf("without a debt it waits %v", got)
	}
	d.add(credit, now)
	if got := d.delay(now); got > 0 {
		t.Errorf("within the credit it waits %v", got)
	}
	d.add(time.Second, now)
	if got := d.delay(now); got != time.Second {
		t.Errorf("it waits %v, want 1s", got)
	}
	if got := d.delay(now.Add(400 * time.Millisecond)); got != 600*time.Millisecond {
		t.Errorf("after 400ms it waits %v, want 600ms", got)
	}
	d.add(time.Hour, now)
	if got := d.delay(now); got != maxDelay {
		t.Errorf("it waits %v, want %v at most", got, maxDelay)
	}
	d = debt{}
	d.add(time.Second, now)
	d.add(time.Millisecond, now.Add(time.Hour))
	if got := d.delay(now.Add(time.Hour)); got > 0 {
		t.Errorf("after an hour it waits %v", got)
	}
}

// A client is delayed for what its packets cost beyond the credit, and not before.
func TestThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(Session)
		delay := func(size int) time.Duration {
			began := time.Now()
			s.throttle(size)
			return time.Since(began)
		}
		if d := delay(1) + delay(allowance); d != 0 {
			t.Errorf("short packets are delayed by %v", d)
		}
		s.Slow(credit)
		if d := delay(1); d != 0 {
			t.Errorf("within its credit, a client is delayed by %v", d)
		}
		if d, want := delay(1_000_000), 1_000_000*byteCost; d != want {
			t.Errorf("a packet of 1 MB is followed by a delay of %v, want %v", d, want)
		}
		if d, want := delay(allowance+1), (allowance+1)*byteCost; d != want {
			t.Errorf("a packet just longer than the allowance is followed by a delay of %v, want %v", d, want)
		}
		s.Slow(time.Second)
		if d := delay(allowance); d != time.Second {
			t.Errorf("the delay is %v, want 1s", d)
		}
	})
}

// What a client has been answered is sent before it is delayed, also if it is corked.
func TestAnswersAreSentBeforeADelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, end := net.Pipe()
		defer end.Close()
		s := overWebSocket(end)
		s.Cork()
		s.Send("x")
		s.throttle(1)
		if len(s.queue) != 1 {
			t.Error("without a delay, the session is not corked")
		}
		s.Slow(credit + time.Second)
		began := time.Now()
		arrived := make(chan time.Duration, 1)
		go func() {
			io.ReadFull(client, make([]byte, 4)) // the frame of "4x"
			arrived <- time.Since(began)
		}()
		s.throttle(1)
		if d := <-arrived; d != 0 || time.Since(began) != time.Second {
			t.Errorf("the answer arrives after %v, and the delay ends after %v", d, time.Since(began))
		}
		s.Send("y")
		synctest.Wait()
		if len(s.queue) != 1 {
			t.Error("after the delay, the session is not corked")
		}
	})
}

// Each packet counts, with its length.
func TestLongPacketsAreThrottled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(Session) // without a handler
		began := time.Now()
		for range 3 {
			if err := s.packet(typeMessage, make([]byte, 1_000_000), false); err != nil {
				t.Fatal(err)
			}
		}
		if d, want := time.Since(began), 3_000_000*byteCost-credit; d != want {
			t.Errorf("three packets of 1 MB take %v, want %v", d, want)
		}
	})
}
