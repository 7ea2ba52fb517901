package engineio

import "time"

// A debt makes a client wait that costs more than an honest one does. It is paid
// off by time, and only what is above credit is waited for. The zero value owes
// nothing. It is not safe for concurrent use.
type debt struct {
	owed time.Duration
	at   time.Time
}

const (
	// credit is what a client may owe before it has to wait.
	credit = 100 * time.Millisecond
	// mostDelay bounds how long it waits at one time.
	mostDelay = 2 * time.Second
)

// add adds to what is owed.
func (d *debt) add(cost time.Duration, now time.Time) {
	d.owed = max(0, d.owed-now.Sub(d.at)) + cost
	d.at = now
}

// delay returns how long to wait now.
func (d *debt) delay(now time.Time) time.Duration {
	if d.owed == 0 {
		return 0
	}
	return min(d.owed-now.Sub(d.at)-credit, mostDelay)
}

// byteCost is what each byte of a packet beyond the allowance costs its sender: 4
// MB/s. No honest packet is that long.
const byteCost = time.Second / 4_000_000

// Slow makes the client wait: what it sends is handled that much later, if it has
// been slowed down more often than passes with time. It is for what honest clients
// do rarely, and whoever does it without end would take the processor from them.
// It does not wait.
func (s *Session) Slow(cost time.Duration) {
	s.owing.Lock()
	defer s.owing.Unlock()
	s.debt.add(cost, time.Now())
}

// pay waits for as long as the client has been slowed down. It is called by whoever
// reads for the session, after a packet was handled.
func (s *Session) pay(size int) {
	s.owing.Lock()
	if size > allowance {
		s.debt.add(time.Duration(size)*byteCost, time.Now())
	}
	var delay time.Duration
	if s.debt.owed > credit {
		delay = s.debt.delay(time.Now())
	}
	s.owing.Unlock()
	if delay > 0 {
		s.flushNow()
		time.Sleep(delay)
	}
}

// flushNow sends what is queued, corked or not.
func (s *Session) flushNow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	corks := s.corks
	s.corks = 0
	s.flush()
	s.corks = corks
}
