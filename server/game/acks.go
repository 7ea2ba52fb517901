package game

import "slices"

// MaxUnacked is how many acks one session may be owed. No client that counts
// comes near it: with Ahead numbers in flight a seat is owed half as many.
const MaxUnacked = 2 * Ahead

// acks are the acks that wait for their lines to be written. Lines are numbered
// as they are handed out to be written.
type acks struct {
	written int64 // the last line that is in the file, or lost
	owed    map[int64][]ack
	count   map[Session]int
}

type ack struct {
	session Session
	id      AckID
}

func newAcks(written int64) acks {
	return acks{written: written, owed: make(map[int64][]ack), count: make(map[Session]int)}
}

// owe notes an ack that is due when that line, which is not written yet, is.
func (a *acks) owe(line int64, s Session, id AckID) {
	a.owed[line] = append(a.owed[line], ack{s, id})
	a.count[s]++
}

// settle takes the acks of the lines up to that one, which are no longer owed.
func (a *acks) settle(line int64) (due []ack) {
	for a.written < line {
		a.written++
		for _, ack := range a.owed[a.written] {
			if a.count[ack.session]--; a.count[ack.session] == 0 {
				delete(a.count, ack.session)
			}
			due = append(due, ack)
		}
		delete(a.owed, a.written)
	}
	return due
}

// forget drops what is owed to a session.
func (a *acks) forget(s Session) {
	if a.count[s] == 0 {
		return
	}
	for line, owed := range a.owed {
		owed = slices.DeleteFunc(owed, func(ack ack) bool { return ack.session == s })
		if len(owed) == 0 {
			delete(a.owed, line)
		} else {
			a.owed[line] = owed
		}
	}
	delete(a.count, s)
}
