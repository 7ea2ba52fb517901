package game

import "maps"

// MaxUnacked is how many acks one session may wait for. Ordinary clients stay far
// below: with Ahead numbers in flight, a seat waits for half as many acks.
const MaxUnacked = 2 * Ahead

// acks are the acks that wait for their lines to be written. Lines are numbered in
// the order in which they are appended. All acks of a line are due to one session.
type acks struct {
	written int64 // the last line that is in the file, or lost
	unacked map[int64]lineAcks
	count   map[Session]int
	most    int // of the lines in unacked, since it was made
}

// keptLines is the number of lines up to which a map is not replaced by a smaller one.
const keptLines = 256

// shrink replaces a map by a smaller one when a quarter of its lines is left: a map itself
// never shrinks.
func (a *acks) shrink() {
	if n := len(a.unacked); a.most > keptLines && n < a.most/4 {
		smaller := make(map[int64]lineAcks, n)
		maps.Copy(smaller, a.unacked)
		a.unacked, a.most = smaller, n
	}
}

// Unacked returns how many acks a session waits for.
func (a *acks) Unacked(s Session) int { return a.count[s] }

// lineAcks are the acks of one line.
type lineAcks struct {
	session Session
	id      AckID
	more    []AckID
}

func newAcks(written int64) acks {
	return acks{written: written, unacked: make(map[int64]lineAcks), count: make(map[Session]int)}
}

// addAck adds an ack that is due when the line, which is not written yet, is written.
func (a *acks) addAck(line int64, s Session, id AckID) {
	if first, ok := a.unacked[line]; ok {
		first.more = append(first.more, id)
		a.unacked[line] = first
	} else {
		a.unacked[line] = lineAcks{session: s, id: id}
	}
	a.count[s]++
	a.most = max(a.most, len(a.unacked))
}

// takeAcks removes the acks of the lines up to line, and calls due for each.
func (a *acks) takeAcks(line int64, due func(Session, AckID)) {
	for a.written < line {
		a.written++
		first, ok := a.unacked[a.written]
		if !ok {
			continue
		}
		delete(a.unacked, a.written)
		due(first.session, first.id)
		for _, id := range first.more {
			due(first.session, id)
		}
		if a.count[first.session] -= 1 + len(first.more); a.count[first.session] == 0 {
			delete(a.count, first.session)
		}
	}
	a.shrink()
}

// forget drops the acks of a session.
func (a *acks) forget(s Session) {
	if a.count[s] == 0 {
		return
	}
	maps.DeleteFunc(a.unacked, func(_ int64, first lineAcks) bool { return first.session == s })
	delete(a.count, s)
	a.shrink()
}
