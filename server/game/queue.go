package game

import "container/list"

// queue holds sessions in order of arrival.
type queue struct {
	order *list.List // of guest
	place map[Session]*list.Element
}

type guest struct {
	session Session
	address string
}

func newQueue() queue {
	return queue{order: list.New(), place: make(map[Session]*list.Element)}
}

func (q queue) len() int { return q.order.Len() }

func (q queue) has(s Session) bool { return q.place[s] != nil }

func (q queue) push(g guest) { q.place[g.session] = q.order.PushBack(g) }

// remove takes a session out, and tells whether it was in.
func (q queue) remove(s Session) bool {
	e := q.place[s]
	if e == nil {
		return false
	}
	q.order.Remove(e)
	delete(q.place, s)
	return true
}

// pop takes out the first whose address does not come after others, or else
// the first.
func (q queue) pop(comesAfter func(address string) bool) (first guest, ok bool) {
	e := q.order.Front()
	for e != nil && comesAfter(e.Value.(guest).address) {
		e = e.Next()
	}
	if e == nil {
		e = q.order.Front()
	}
	if e == nil {
		return guest{}, false
	}
	first = e.Value.(guest)
	q.remove(first.session)
	return first, true
}
