package game

import "container/list"

// queue holds sessions in order of arrival.
type queue struct {
	order    *list.List // of waiter
	elements map[Session]*list.Element
}

// waiter is a session that waits for a seat.
type waiter struct {
	session Session
	address string
}

func newQueue() queue {
	return queue{order: list.New(), elements: make(map[Session]*list.Element)}
}

func (q queue) len() int { return q.order.Len() }

func (q queue) has(s Session) bool { return q.elements[s] != nil }

func (q queue) push(w waiter) { q.elements[w.session] = q.order.PushBack(w) }

// remove removes a session, and reports whether it was in the queue.
func (q queue) remove(s Session) bool {
	e := q.elements[s]
	if e == nil {
		return false
	}
	q.order.Remove(e)
	delete(q.elements, s)
	return true
}

// pop removes and returns the first waiter whose address is not deferred, or, if all
// are deferred, the first one.
func (q queue) pop(deferred func(address string) bool) (first waiter, ok bool) {
	e := q.order.Front()
	for e != nil && deferred(e.Value.(waiter).address) {
		e = e.Next()
	}
	if e == nil {
		e = q.order.Front()
	}
	if e == nil {
		return waiter{}, false
	}
	first = e.Value.(waiter)
	q.remove(first.session)
	return first, true
}
