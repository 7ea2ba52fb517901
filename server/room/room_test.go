package room

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"counting/server/game"
	"counting/server/protocol"
)

func TestANumberIsWrittenAckedAndReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, game.New(0), 0)
		a := r.connect("A", "192.0.2.1")
		a.expect(t, "client_assigned client1 1", "admit")
		b := r.connect("B", "192.0.2.2")
		b.expect(t, "client_assigned client2 2", "start_game", "admit")
		a.expect(t, "start_game")
		r.count("B", "client2", 2)
		r.count("A", "client1", 1)
		if r.file.upTo != 2 {
			t.Errorf("%d is appended to the file", r.file.upTo)
		}
		a.expect(t)
		r.Callbacks().OnCommit(2, time.Millisecond)
		a.expect(t, "ack 1 []")
		b.expect(t, "ack 2 []")
		r.count("A", "client1", 2)
		a.expect(t, "ack 2 [{number 2 is not one of client1's}]")
		if a.slowed != 1 || b.slowed != 0 {
			t.Errorf("for its refused number A is slowed %d times, and B %d times", a.slowed, b.slowed)
		}
		r.Number("A", []string{"null"}, false, "9")
		a.expect(t, `ack 9 [{null is not an object with client_id and number}]`)
		r.Callbacks().OnHealth(errors.New("full"))
		r.Disconnect("A")
		a.expect(t, "stop_game")
		b.expect(t, "stop_game")
		reported()
		if !slices.Equal(r.observer.lines, []float64{1, 2}) || r.observer.storage == nil || r.observer.missed != 0 {
			t.Errorf("the observer got %v, %v, %d", r.observer.lines, r.observer.storage, r.observer.missed)
		}
		for _, want := range []string{"Client client1 connected and assigned.", "Client client2 connected and assigned.",
			"Received one from client1", "Received two from client2", "Refused a number: number 2", "address=192.0.2.1", "session=A",
			"Cannot write the numbers file: full", "Client client1 disconnected.", "Waiting for another client to connect..."} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, r.log)
			}
		}
	})
}

func TestFaithfulNumbersOfAnySizeAreSpelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, game.NewFaithful(), 0)
		a := r.connect("A", "a")
		a.took()
		for i, raw := range []string{"9007199254740993", "1" + strings.Repeat("0", 33), "1e22", "-0.0", "1.5", "true",
			"1" + strings.Repeat("0", 100), "1e306", "1e400"} {
			r.Number("A", []string{`{"client_id":"client1","number":` + raw + `}`}, false, fmt.Sprint(i))
		}
		want := []string{"nine quadrillion, seven trillion, one hundred and ninety-nine billion, two hundred and fifty-four million, seven hundred and forty thousand, nine hundred and ninety-three",
			"one decillion", "ten sextillion", "zero", "one point five", "one"}
		if !slices.Equal(r.file.lines, want) {
			t.Errorf("the file gets %q, want %q", r.file.lines, want)
		}
		r.Callbacks().OnCommit(5, 0)
		a.expect(t, "ack 0 []", "ack 1 []", "ack 2 []", "ack 3 []", "ack 4 []")
		r.Dropped(6)
		a.expect(t) // no ack for what was lost or cannot be spelled
		r.count("A", "bob", 41)
		if r.Written() != 6 {
			t.Errorf("the last line is %d", r.Written())
		}
		r.Callbacks().OnCommit(7, 0)
		a.expect(t, "ack 41 []")
		r.Disconnect("A")
		b := r.connect("B", "b")
		b.expect(t, "client_assigned client1 inf", "admit") // the original advances before it spells
		reported()
		if len(r.observer.lines) != 6 || r.observer.lines[5] != 41 {
			t.Errorf("the observer got %v", r.observer.lines)
		}
		r.Disconnect("B")
		if len(r.sessions) > 0 {
			t.Errorf("the room still has the sessions %v", r.sessions)
		}
	})
}

// The acks of each step are sent to a session in one write.
func TestAcksOfOneStepAreCorked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, game.New(0), 0)
		a, b := r.seated()
		for n := int64(1); n < 8; n += 2 {
			r.count("A", "client1", n)
			r.count("B", "client2", n+1)
		}
		a.corks, b.corks = nil, nil
		r.Callbacks().OnCommit(7, 0)
		if !slices.Equal(a.corks, []string{"cork", "uncork 4"}) || !slices.Equal(b.corks, []string{"cork", "uncork 3"}) {
			t.Errorf("A is sent %q, B %q", a.corks, b.corks)
		}
		a.corks, b.corks = nil, nil
		a.took()
		r.count("A", "client1", 3) // it is written already
		r.Callbacks().OnCommit(8, 0)
		if !slices.Equal(a.corks, []string{"cork", "uncork 1"}) || !slices.Equal(b.corks, []string{"cork", "uncork 1"}) {
			t.Errorf("then A is sent %q, B %q", a.corks, b.corks)
		}
		a.expect(t, "ack 3 []")
	})
}

// A session knows how many acks it waits for, so that their memory can be bounded.
func TestASessionIsToldWhatItIsOwed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, game.New(0), 0)
		a, b := r.seated()
		expect := func(owedToA, owedToB int) {
			t.Helper()
			if a.owed != owedToA || b.owed != owedToB {
				t.Errorf("A is owed %d acks, B %d, want %d and %d", a.owed, b.owed, owedToA, owedToB)
			}
		}
		r.count("B", "client2", 2)
		r.count("B", "client2", 4)
		expect(0, 2)
		r.count("A", "client1", 1)
		expect(1, 2)
		r.Callbacks().OnCommit(2, 0)
		expect(0, 1)
		r.Disconnect("B")
		expect(0, 0)
	})
}

func TestAThirdClientIsHeldForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, game.New(0), 0)
		r.seated()
		c := r.connect("C", "c")
		time.Sleep(HoldTime - time.Millisecond)
		c.expect(t)
		time.Sleep(time.Millisecond)
		reported()
		c.expect(t, "refuse both seats are taken")
		if r.sessions["C"] != nil { // Disconnect is not called for it
			t.Error("the room keeps a session that it has refused")
		}
		d := r.connect("D", "d")
		r.Disconnect("A")
		d.expect(t, "client_assigned client1 1", "start_game", "admit")
		time.Sleep(2 * HoldTime)
		d.expect(t)
		e := r.connect("E", "e")
		r.Close()
		time.Sleep(2 * HoldTime)
		e.expect(t) // a closed room refuses nobody
	})
}

// A blocked log or observer blocked the count and every new client.
func TestAnObserverThatStandsStillHoldsUpNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, game.New(0), 0)
		a, b := r.seated()
		reported()
		r.observer.blocked.Lock()
		const last = 20_000
		for n := int64(1); n <= last; n += 2 {
			if n == 3 {
				time.Sleep(reportDelay)
				for r.queued() > 0 { // until the observer stands still
					runtime.Gosched()
				}
			}
			r.count("A", "client1", n)
			r.count("B", "client2", n+1)
			r.Callbacks().OnCommit(n+1, time.Millisecond)
		}
		if got := len(a.took()) + len(b.took()); got != last {
			t.Errorf("%d acks came while the observer stood still, want %d", got, last)
		}
		for range maxNotices {
			r.Number("A", []string{"1"}, false, "")
		}
		r.Disconnect("A") // this is dropped, too
		r.observer.blocked.Unlock()
		reported()
		if len(r.observer.lines) != last || !slices.IsSorted(r.observer.lines) {
			t.Errorf("the observer got %d lines, want all %d in order", len(r.observer.lines), last)
		}
		if r.observer.missed == 0 || r.observer.missed != r.Missed() || !slices.Equal(r.observer.taken, []protocol.Seat{protocol.Client2}) {
			t.Errorf("the observer missed %d of %d events and was given %v as taken", r.observer.missed, r.Missed(), r.observer.taken)
		}
		if !strings.Contains(r.log.String(), fmt.Sprintf("%d events were not logged", r.observer.missed)) {
			t.Error("the log does not say so")
		}
		if len(r.observer.events) > 2*maxNotices+10 {
			t.Errorf("%d events were queued", len(r.observer.events))
		}
	})
}

// brokenRules panic at a number.
type brokenRules struct{ *game.Game }

func (brokenRules) Number(game.Session, game.Number, game.AckID) []game.Effect { panic("a bug") }

// oddRules return an effect for which the room has no case.
type oddRules struct{ *game.Game }

type newEffect struct{ game.Effect }

func (oddRules) Number(game.Session, game.Number, game.AckID) []game.Effect {
	return []game.Effect{newEffect{}}
}

// A panic within a step was recovered: the step was incomplete, and acks were still
// sent.
func TestAPanicInAStepEndsTheRoom(t *testing.T) {
	t.Parallel()
	for reason, rules := range map[string]func(*game.Game) Rules{
		"a bug":                                 func(g *game.Game) Rules { return brokenRules{g} },
		"no case for the effect room.newEffect": func(g *game.Game) Rules { return oddRules{g} },
	} {
		synctest.Test(t, func(t *testing.T) {
			g := game.New(0)
			r := newRoom(t, g, 0)
			a, b := r.seated()
			r.count("A", "client1", 1)
			r.rules = rules(g)
			r.count("B", "client2", 2)
			select {
			case err := <-r.failed:
				if !strings.Contains(err.Error(), "a step of the game panicked: "+reason) {
					t.Errorf("it fails with %v", err)
				}
			default:
				t.Fatal("it does not fail")
			}
			r.Callbacks().OnCommit(1, 0)
			r.count("A", "client1", 3)
			r.Disconnect("A")
			a.expect(t)
			b.expect(t)
		})
	}
}

// staticRules return the same effects, in the same memory, for each session that leaves.
type staticRules struct {
	*game.Game
	effects []game.Effect
}

func (r staticRules) Disconnect(game.Session) []game.Effect { return r.effects }

// The rules use the memory of effects again, so that it lasts until the next step. What
// a client sent does not.
func TestEffectsAreForgottenWhenTheyAreCarriedOut(t *testing.T) {
	t.Parallel()
	rules := staticRules{game.New(0), []game.Effect{game.Refused{Number: game.Number{ClientID: "long"}}, game.Alone{}}}
	New(rules, Options{}).Disconnect("A")
	for _, e := range rules.effects {
		if e != nil {
			t.Errorf("%#v is still there", e)
		}
	}
}

func TestNetworkOfAnAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "192.0.2.1:5000": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "2001:db8:1:2::7": "2001:db8:1:2::", "fe80::1%eth0": "fe80::", "@": "@", "": "",
	} {
		if got := network(address); got != want {
			t.Errorf("%q is of %q, want %q", address, got, want)
		}
	}
}

// When the storage of one game fails, its clients are cut off, including those that
// wait for a seat, and their later events are ignored.
func TestCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, game.New(0), 0)
		a, b := r.seated()
		c := r.connect("C", "c")
		r.CutOff()
		a.expect(t, "close")
		b.expect(t, "close")
		c.expect(t, "close")
		r.count("A", "client1", 1)
		r.Disconnect("A")
		r.Disconnect("C")
		time.Sleep(2 * HoldTime)
		for _, s := range []*fakeSession{a, b, c} {
			s.expect(t)
		}
		if r.file.upTo != 0 {
			t.Errorf("%d was appended", r.file.upTo)
		}
		r.connect("D", "d").expect(t, "close") // it had looked up the room just before
	})
}
