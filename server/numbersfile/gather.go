package numbersfile

import "time"

// Clients with many numbers in flight send the next ones as soon as they receive acks.
// If the first of these were written immediately, it would be synced alone, and all others
// would wait for that sync. So a write waits until as many numbers are queued as were in
// flight after the last write, which are those that it wrote and those that were queued.
// It does not wait much longer than that could save.
const (
	// gatherTime is the longest that a write waits, from the last one.
	gatherTime = time.Millisecond
	// gatherPause is how many writes do not wait after a wait that timed out. It doubles
	// each time, up to maxGatherPause, until a wait does not time out.
	gatherPause    = 16
	maxGatherPause = 1024
)

// gathering decides whether a write waits for more numbers. Its queue guards it.
type gathering struct {
	expected  int64     // how many numbers a write waits for; 0 if it does not wait
	until     time.Time // how long it waits
	pause     int       // for how many writes expected remains 0
	lastPause int       // 0 if the last wait did not time out
	timer     *time.Timer
	waiting   bool // the timer runs
}

// wrote is called when a write of some numbers has ended that took that long, while others
// were queued. Of waits for up to 1, 1.5, 2 and 3 times as long, 1.5 was seen to give the
// most numbers per second.
func (g *gathering) wrote(numbers, queued int64, took time.Duration) {
	if g.pause > 0 {
		g.pause--
		return
	}
	g.expected = numbers + queued
	g.until = time.Now().Add(min(took*3/2, gatherTime))
}

// wait reports whether a write of the numbers that are queued has to wait. If so, late is
// called after a while, and must call wait again.
func (g *gathering) wait(queued int64, late func()) bool {
	if queued >= g.expected {
		if g.waiting {
			g.lastPause = 0
		}
		g.stop()
		return false
	}
	left := time.Until(g.until)
	if left <= 0 {
		if g.waiting {
			g.lastPause = min(max(2*g.lastPause, gatherPause), maxGatherPause)
			g.pause = g.lastPause
		}
		g.stop()
		return false
	}
	if !g.waiting {
		g.waiting = true
		if g.timer == nil {
			g.timer = time.AfterFunc(left, late)
		} else {
			g.timer.Reset(left)
		}
	}
	return true
}

// stop ends the wait.
func (g *gathering) stop() {
	if g.waiting {
		g.waiting = false
		g.timer.Stop()
	}
	g.expected = 0
}
