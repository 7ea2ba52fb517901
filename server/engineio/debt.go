package engineio

import "time"

// A debt throttles a client that costs more than an ordinary one. It decreases with
// time; the client is delayed by what exceeds credit. The zero value is no debt. It is
// not safe for concurrent use.
type debt struct {
	owed time.Duration
	at   time.Time
}

const (
	// credit is the debt up to which a client is not delayed.
	credit = 100 * time.Millisecond
	// maxDelay bounds a single delay.
	maxDelay = 2 * time.Second
)

// add adds cost to the debt.
func (d *debt) add(cost time.Duration, now time.Time) {
	d.owed = max(0, d.owed-now.Sub(d.at)) + cost
	d.at = now
}

// delay returns how long to delay the client now.
func (d *debt) delay(now time.Time) time.Duration {
	if d.owed == 0 {
		return 0
	}
	return min(d.owed-now.Sub(d.at)-credit, maxDelay)
}

// byteCost is the cost of each byte of a packet longer than the allowance: it limits
// the sender to 4 MB/s. Packets of ordinary clients are shorter.
const byteCost = time.Second / 4_000_000

// Slow adds cost to the client's debt. Once the debt exceeds a small credit, the
// client's packets are handled later by the excess. It is for actions that ordinary
// clients take rarely, and that would use much processor time if repeated without
// end. Slow itself does not wait.
func (s *Session) Slow(cost time.Duration) {
	s.debtMu.Lock()
	defer s.debtMu.Unlock()
	s.debt.add(cost, time.Now())
}

// throttle sleeps for the delay of the client's debt. The goroutine that reads from
// the client calls it after each packet of size bytes.
func (s *Session) throttle(size int) {
	s.debtMu.Lock()
	if size > allowance {
		s.debt.add(time.Duration(size)*byteCost, time.Now())
	}
	var delay time.Duration
	if s.debt.owed > credit {
		delay = s.debt.delay(time.Now())
	}
	s.debtMu.Unlock()
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
