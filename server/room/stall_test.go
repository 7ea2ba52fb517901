package room

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"counting/server/game"
)

const stallTimeout = 20 * time.Second

func TestAClientThatDoesNotBeginToCountIsAskedToLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, game.New(0), stallTimeout)
		a, b := r.seated()
		r.count("B", "client2", 2) // it waits for client1
		time.Sleep(stallTimeout - time.Millisecond)
		r.Heartbeat("A")
		r.Heartbeat("B")
		r.Heartbeat("nobody")
		a.expect(t)
		time.Sleep(time.Millisecond)
		r.Heartbeat("B") // it is not its turn
		b.expect(t)
		r.Heartbeat("A")
		a.expect(t, "dismiss")
		r.Heartbeat("A") // it was asked to leave, and stays
		a.expect(t, "close")
		reported()
		for _, want := range []string{"Asked a client to leave", "Cut off a client: it was asked to leave and stayed."} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, r.log)
			}
		}
	})
}

func TestNobodyIsAskedToLeaveAClosedRoomOrWithoutATimeout(t *testing.T) {
	t.Parallel()
	for _, timeout := range []time.Duration{0, stallTimeout} {
		synctest.Test(t, func(t *testing.T) {
			r := newRoom(t, game.New(0), timeout)
			a, _ := r.seated()
			r.count("B", "client2", 2)
			if timeout != 0 {
				r.Close()
			}
			time.Sleep(100 * stallTimeout)
			r.Heartbeat("A")
			a.expect(t)
		})
	}
}

// A client for whom the other one waits is asked to leave, also if the one before it was.
func TestTheNextClientThatDoesNotBeginIsAskedToLeaveAsWell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, game.New(0), stallTimeout)
		a, _ := r.seated()
		r.count("B", "client2", 2)
		time.Sleep(stallTimeout)
		r.Heartbeat("A")
		a.expect(t, "dismiss")
		r.Disconnect("A")
		next := r.connect("C", "a")
		next.took()
		time.Sleep(2 * stallTimeout)
		r.Heartbeat("C")
		next.expect(t, "dismiss")
	})
}

func TestAClientThatHasCountedIsNotAskedToLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, game.New(0), stallTimeout)
		a, b := r.seated()
		r.count("A", "client1", 1)
		r.count("B", "client2", 2)
		r.count("B", "client2", 4)
		time.Sleep(100 * stallTimeout)
		r.Heartbeat("A")
		r.Heartbeat("B")
		a.expect(t)
		b.expect(t)
	})
}

// A client that had counted a single number delayed the count forever while another
// one waited for a seat.
func TestAClientThatHoldsUpTheCountIsCutOffWhileAnotherWaits(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"another comes", "it answers a ping", "the other seat answers a ping"} {
		t.Run(strings.ReplaceAll(when, " ", "_"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRoom(t, game.New(0), stallTimeout)
				a, b := r.seated()
				r.count("A", "client1", 1)
				r.count("B", "client2", 2)
				time.Sleep(cutOffFactor*stallTimeout - time.Second)
				r.connect("C", "c")
				r.Heartbeat("A")
				a.expect(t)
				time.Sleep(time.Second)
				switch when {
				case "another comes":
					r.connect("D", "d")
				case "it answers a ping":
					r.Heartbeat("A")
				default:
					r.Heartbeat("B")
				}
				a.expect(t, "close")
				b.expect(t)
				r.Heartbeat("A") // once is enough
				time.Sleep(cutOffFactor * stallTimeout)
				e := r.connect("E", "e")
				r.Heartbeat("A")
				a.expect(t)
				r.Disconnect("A")
				e.expect(t, "client_assigned client1 3", "start_game", "admit")
				reported()
				if !strings.Contains(r.log.String(), "Cut off a client: it holds up the count") {
					t.Errorf("the log does not say so:\n%s", r.log)
				}
			})
		})
	}
}

func TestAClientThatHoldsUpTheCountStaysWhileNobodyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, game.New(0), stallTimeout)
		a, b := r.seated()
		r.count("A", "client1", 1)
		r.count("B", "client2", 2)
		time.Sleep(100 * stallTimeout)
		r.Heartbeat("A")
		r.Heartbeat("B")
		a.expect(t)
		b.expect(t)
	})
}

// Clients that were done and stayed were asked to leave every 25 to 45 s, unless the
// count had reached the server's -goal.
func TestClientsThatAreDoneAreNotAskedAgainAndAgain(t *testing.T) {
	t.Parallel()
	for name, waits := range map[string]bool{"nobody_waits": false, "a_third_client_waits": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRoom(t, game.New(4), stallTimeout)
				a, _ := r.seated()
				asked := 0
				for range 24 * 60 * 6 { // a day, with a heartbeat every 10 s
					if waits {
						r.connect("C", "c")
					}
					time.Sleep(10 * time.Second)
					r.Heartbeat("A")
					r.Heartbeat("B")
					if sent := a.took(); len(sent) > 0 && (sent[0] == "dismiss" || sent[0] == "close") {
						asked++
						r.Disconnect("A")
						r.Disconnect("C")
						a = r.connect("A", "a") // it comes back
						a.took()
					}
				}
				most := 1
				if waits {
					most = 75 // every 20 minutes or so
				}
				if asked > most {
					t.Errorf("it was sent away %d times in a day, want at most %d", asked, most)
				}
			})
		})
	}
}

// If both clients have lost their main threads, neither waits for the other: one of
// them must be removed for the count to continue.
func TestOfTwoClientsThatDoNotCountOneIsAskedToLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, game.New(0), stallTimeout)
		a, b := r.seated()
		time.Sleep(stallTimeout)
		r.Heartbeat("A")
		a.expect(t, "dismiss")
		r.Disconnect("A")
		r.connect("A2", "a")
		r.count("A2", "client1", 1)
		r.count("A2", "client1", 3)
		b.took()
		time.Sleep(stallTimeout)
		r.Heartbeat("B")
		b.expect(t, "dismiss")
	})
}
