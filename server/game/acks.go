package game

import "slices"

// MaxUnacked is how many acks one session may wait for. Ordinary clients stay far
// below: with Ahead numbers in flight, a seat waits for half as many acks.
const MaxUnacked = 2 * Ahead

// acks are the acks that wait for their lines to be written. Lines are numbered in
// the order in which they are appended.
type acks struct {
	written int64        // the last line that is in the file, or lost
	unacked []waitingAck // in the order of their lines, those of one line as they came
	count   map[Session]int
}

// A waitingAck is due to a session when a line is written.
type waitingAck struct {
	line    int64
	session Session
	id      AckID
}

// keptAcks is the most acks for which a game without waiting acks keeps memory.
const keptAcks = 256

func newAcks(written int64) acks {
	return acks{written: written, count: make(map[Session]int)}
}

// Unacked returns how many acks a session waits for.
func (a *acks) Unacked(s Session) int { return a.count[s] }

// addAck adds an ack that is due when the line, which is not written yet, is written.
func (a *acks) addAck(line int64, s Session, id AckID) {
	i, _ := slices.BinarySearchFunc(a.unacked, line+1, func(a waitingAck, line int64) int { return int(a.line - line) })
	a.unacked = slices.Insert(a.unacked, i, waitingAck{line, s, id})
	a.count[s]++
}

// takeAcks removes the acks of the lines up to line, and calls due for each.
func (a *acks) takeAcks(line int64, due func(Session, AckID)) {
	a.written = max(a.written, line)
	n := 0
	for _, waiting := range a.unacked {
		if waiting.line > line {
			break
		}
		n++
		due(waiting.session, waiting.id)
		if a.count[waiting.session]--; a.count[waiting.session] == 0 {
			delete(a.count, waiting.session)
		}
	}
	a.keep(slices.Delete(a.unacked, 0, n))
}

// forget drops the acks of a session.
func (a *acks) forget(s Session) {
	if a.count[s] == 0 {
		return
	}
	a.keep(slices.DeleteFunc(a.unacked, func(a waitingAck) bool { return a.session == s }))
	delete(a.count, s)
}

// keep sets the acks that are left. It releases the memory of many that were.
func (a *acks) keep(left []waitingAck) {
	if a.unacked = left; len(left) == 0 && cap(left) > keptAcks {
		a.unacked = nil
	}
}
