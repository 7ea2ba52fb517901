package numbersfile

import "time"

// Numbers that are in flight at the same time are acked together, and clients send their
// next ones as soon as they receive the acks. If the first of these were written
// immediately, it would be synced alone, and all others would wait for that sync. So a
// write waits until as many numbers are queued as were in flight after the last write,
// which are those that it wrote and those that were queued.
//
// A wait that times out takes longer than a sync could save: on Linux a timer of an idle
// process fires up to a millisecond late. So the next writes do not wait, and such waits
// become rare while they are more than a sixth of all.
const (
	// gatherTime is the longest timeout of a wait, from the end of the last write.
	gatherTime = time.Millisecond
	// gatherPause is how many writes do not wait after a wait that timed out. It doubles
	// each time, up to maxGatherPause, and a wait that does not time out takes away an
	// eighth.
	gatherPause    = 16
	maxGatherPause = 1024
)

// gathering decides whether a write waits for more numbers. Its queue guards it.
type gathering struct {
	expected  int64     // how many numbers a write waits for; 0 if it does not wait
	until     time.Time // how long it waits
	pause     int       // for how many writes expected remains 0
	lastPause int       // what pause was after the last timeout, less what was taken away
	timer     *time.Timer
	waiting   bool // a write waits, and the timer is set
}

// wrote is called when a write of some numbers has ended that took that long, while others
// were queued. Of waits for up to 1, 1.5, 2 and 3 times as long, 1.5 was seen to give the
// most numbers per second.
func (g *gathering) wrote(numbers, queued int64, took time.Duration) {
	if g.pause > 0 {
		g.pause--
		return
	}
	g.expected = min(numbers+queued, batch)
	g.until = time.Now().Add(min(took*3/2, gatherTime))
}

// wait reports whether a write of the numbers that are queued has to wait. If so, late is
// called after a while, and must call timeout.
func (g *gathering) wait(queued int64, late func()) bool {
	if queued >= g.expected {
		g.end()
		return false
	}
	if g.waiting {
		return true
	}
	left := time.Until(g.until)
	if left <= 0 {
		g.end()
		return false
	}
	g.waiting = true
	if g.timer == nil {
		g.timer = time.AfterFunc(left, late)
	} else {
		g.timer.Reset(left)
	}
	return true
}

// timeout ends a wait if its time is over, and reports whether it did.
func (g *gathering) timeout() bool {
	if !g.waiting || time.Now().Before(g.until) { // the timer of a former wait
		return false
	}
	g.end()
	return true
}

// end ends the wait, if there is one. If enough numbers have come after its time, but
// before the timer has fired, it has timed out as well.
func (g *gathering) end() {
	g.expected = 0
	if !g.waiting {
		return
	}
	g.waiting = false
	g.timer.Stop()
	if time.Now().Before(g.until) {
		g.lastPause -= g.lastPause / 8
	} else {
		g.lastPause = min(max(2*g.lastPause, gatherPause), maxGatherPause)
		g.pause = g.lastPause
	}
}
