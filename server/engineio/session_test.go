package engineio

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A session that does not take what it is sent is ended, with its connection: its first
// packets wait, and those beyond a limit end it. The limit is reported once.
func TestASessionThatTakesNothingIsEnded(t *testing.T) {
	t.Parallel()
	const most = 3
	for limit, limits := range map[Limit]Limits{
		LimitPackets: {PacketsPerSession: most},
		LimitSending: {Sending: 1}, // the first 4 KiB are free
	} {
		for _, transport := range []string{"polling", "websocket"} {
			name := string(limit) + " over " + transport
			var log strings.Builder
			s := start(t, Options{Limits: limits, Log: slog.New(slog.NewTextHandler(&log, nil))})
			session := s.opened(s.opens())
			client, end := net.Pipe()
			if transport == "websocket" {
				session.conn = &conn{session: session, net: end, writing: true} // forever
			}
			for range most {
				session.Send(strings.Repeat("x", 999))
			}
			if s.reached(limit) != 0 || s.Sessions() != 1 || len(session.queue) != most {
				t.Errorf("%s: after %d packets, the limit was reached %d times", name, most, s.reached(limit))
			}
			for range 2 {
				session.Send(strings.Repeat("x", 999))
				if !session.isEnding() {
					t.Errorf("%s: it is not ending", name)
				}
			}
			if n := s.reached(limit); n != 1 {
				t.Errorf("%s: the limit was reached %d times", name, n)
			}
			waitFor(t, name+": the session to end", func() bool { return s.Sessions() == 0 && s.open.Load() == 0 })
			if _, sending := s.Usage(); sending != 0 {
				t.Errorf("%s: %d bytes are counted", name, sending)
			}
			if want := `msg="ended a session that does not take what it is sent" limit=` + string(limit) + ` group="" address=127.0.0.1`; !strings.Contains(log.String(), want) {
				t.Errorf("%s: the log has\n%s", name, &log)
			}
			if transport == "websocket" {
				if _, err := client.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("%s: the connection is not closed: %v", name, err)
				}
			}
		}
	}
}

// What waits for a session is counted until it is sent.
func TestWhatWaitsIsCounted(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	sid := s.opens()
	session := s.opened(sid)
	const packets, size = 40, 1000
	session.Cork()
	for range packets {
		session.Send(strings.Repeat("x", size-1))
	}
	session.Uncork()
	for left := packets; ; left = max(0, left-maxPolled) {
		want := max(0, int64(left*(size+packetOverhead))-allowance)
		if _, sending := s.Usage(); sending != want {
			t.Errorf("while %d packets wait, %d bytes are counted, want %d", left, sending, want)
		}
		if left == 0 {
			break
		}
		s.request("GET", sid, "")
	}
}

// The queue of a session that has been sent everything keeps its memory if that is small,
// so that sending does not allocate it again, and only then.
func TestTheMemoryOfAnEmptyQueue(t *testing.T) {
	t.Parallel()
	for _, packets := range []int{10, 1000} {
		s := start(t, Options{})
		session := s.opened(s.opens())
		client, end := net.Pipe()
		defer end.Close()
		go io.Copy(io.Discard, client)
		session.mu.Lock()
		session.conn = &conn{session: session, net: end}
		session.mu.Unlock()
		session.Cork()
		for range packets {
			session.Send("x")
		}
		session.Uncork()
		session.mu.Lock()
		if n := cap(session.queue); len(session.queue) != 0 || (n > 0) != (packets < 256) {
			t.Errorf("after %d packets, the queue has room for %d", packets, n)
		}
		session.mu.Unlock()
		waitFor(t, "them to be written", func() bool { return !session.pending() })
	}
}

// A client that polled down a long queue left its memory, which no budget counts.
func TestAQueueThatWasPolledKeepsNoMemory(t *testing.T) {
	t.Parallel()
	s := &Session{server: New(func(*Session) Handler { return nil }, Options{})}
	t.Cleanup(s.server.Close)
	for range 20_000 {
		s.Send("x")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 20 {
		s.take()
	}
	if most := max(256, 4*maxPolled); cap(s.queue) > most {
		t.Errorf("%d packets are in a queue for %d", len(s.queue), cap(s.queue))
	}
}

// What is sent to a session after it has reached a limit is dropped, and so is what had
// waited.
func TestNothingIsQueuedAfterALimit(t *testing.T) {
	t.Parallel()
	reached := 0
	server := &Server{options: Options{Limits: Limits{PacketsPerSession: 1}, OnLimit: func(Limit) { reached++ }, Log: slog.New(slog.DiscardHandler)}, sending: newBudget(0, 0)}
	session := &Session{server: server, ending: true} // so that it stays as it is
	long := strings.Repeat("x", 2*allowance)
	for i, queued := range []int{1, 0, 0, 0} {
		session.Send(long)
		if len(session.queue) != queued || (server.sending.inUse() > 0) != (queued > 0) {
			t.Errorf("after %d packets, %d are queued, and %d bytes counted", i+1, len(session.queue), server.sending.inUse())
		}
	}
	if reached != 1 {
		t.Errorf("the limit was reached %d times", reached)
	}
}

// counter is a Handler that counts its calls.
type counter struct{ messages, closes atomic.Int64 }

func (c *counter) Message([]byte, bool) { c.messages.Add(1) }
func (c *counter) Heartbeat()           {}
func (c *counter) Close(string)         { c.closes.Add(1) }

// What comes after Close is not passed to the handler.
func TestCloseIsTheLastCall(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	session := s.opened(s.opens())
	handler := new(counter)
	session.calls.Lock()
	session.handler = handler
	session.calls.Unlock()
	session.packet(typeMessage, nil, false)
	session.Close("it ends")
	waitFor(t, "the end", func() bool { return handler.closes.Load() == 1 })
	session.packet(typeMessage, nil, false)
	session.Close("again")
	session.packet(typeClose, nil, false)
	if m, c := handler.messages.Load(), handler.closes.Load(); m != 1 || c != 1 {
		t.Errorf("%d messages were passed to the handler, and it was closed %d times", m, c)
	}
}

// The connection of a session that has ended is closed by the server, after what was sent,
// whether the client closes it or not. So is one that the session is being upgraded to.
func TestTheConnectionOfASessionThatHasEnded(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	session := s.opened(s.opens())
	client, end := net.Pipe()
	session.attach(&conn{session: session, net: end})
	session.Send("x")
	session.Close("it ends")
	if text, err := io.ReadAll(client); string(text) != "\x81\x024x\x88\x02\x03\xe8" || err != nil {
		t.Errorf("%q comes, and then %v", text, err)
	}

	sid := s.opens()
	upgrade := s.dial(sid)
	write(t, upgrade, "2probe")
	expect(t, upgrade, "3probe")
	upgrade.SetReadDeadline(time.Now().Add(upgradeTimeout / 2))
	s.opened(sid).Close("it ends")
	_, _, err := upgrade.ReadMessage()
	if timedOut := net.Error(nil); err == nil || errors.As(err, &timedOut) && timedOut.Timeout() {
		t.Errorf("the connection of an upgrade is not closed: %v", err)
	}
}
