package replay

import (
	"fmt"
	"slices"

	"counting/compat-tests/siotape/packet"
	"counting/compat-tests/siotape/rules"
	"counting/compat-tests/siotape/tape"
)

// A lull is a time, in seconds, without traffic. A client's line after a lull is not part
// of the burst before it. A lull is at least shortestLull, and longer if the recorded
// server was slow: the effects of a line take about as long as its ack.
const shortestLull, longestLull = 0.05, 1.0

// lull returns twice the 95th percentile of the times that answers took. The slowest ones
// are ignored, as some handlers are slow by design.
func (p *plan) lull() float64 {
	var took []float64
	for _, st := range p.steps {
		if it := st.item; it != nil && it.exact && it.causes[0] < len(p.steps) {
			took = append(took, it.at-p.steps[it.causes[0]].at)
		}
	}
	if len(took) == 0 {
		return shortestLull
	}
	slices.Sort(took)
	return min(max(2*took[len(took)*95/100], shortestLull), longestLull)
}

// A burst is what clients did, and how the server answered, without a lull.
type burst struct {
	steps    []int
	sessions map[string]bool
	// turn has the steps since the server last sent something to one of the burst's
	// sessions. The next step of a single client after that may be its reaction to it.
	turn     []int
	answered bool // the server has sent something since the last step of turn
}

// findCauses finds the steps that may have caused each item. If there is only one, order is
// compared: an item before its cause, or two items of one cause in reverse order, are
// differences.
func (p *plan) findCauses() {
	p.findExactCauses()
	lull := p.lull()
	// Two lulls: an item of a slow server may be late, so that it has many possible
	// causes. Its order is still compared by the shorter lull.
	short, long := newBurst(), newBurst()
	acks := p.ackedSteps()
	var last float64
	for i, st := range p.steps {
		switch {
		case st.item != nil:
			it := st.item
			if !it.exact {
				it.causes, it.order = long.causesOf(it), short.causesOf(it)
				// A client of version 1 may have polled long after the packet was ready.
				it.unclear = p.Version == 1 && it.line.Over == tape.Polling
			}
			if st.item.exact && st.item.packet != nil && st.item.packet.Kind == packet.Ack {
				delete(acks, st.item.causes[0])
			}
			for cause, answered := range acks { // steps that still wait for an ack
				if !it.exact && cause < i && answered > i {
					it.causes, it.order = append(it.causes, cause), append(it.order, cause)
				}
			}
			it.causes, it.order = sorted(it.causes), sorted(it.order)
			short.receive(it)
			long.receive(it)
		case st.transport:
			continue
		default:
			if st.at-last >= lull {
				long = newBurst()
			}
			if st.at-last >= shortestLull {
				short = newBurst()
			}
			short.add(st)
			long.add(st)
		}
		last = st.at
	}
}

// findExactCauses finds the causes of items that name the step they answer.
func (p *plan) findExactCauses() {
	open := map[string]int{}
	for i, st := range p.steps {
		if st.item != nil {
			if cause, ok := exactCause(st.item, open); ok {
				st.item.causes, st.item.order, st.item.exact = []int{cause}, []int{cause}, true
			}
			continue
		}
		for k := range st.lines {
			if st.packets[k] != nil || !st.transport {
				open[key(st.lines[k].Session, st.packets[k], "")] = i
			}
		}
	}
}

func (b *burst) add(st *step) {
	if b.answered {
		b.turn, b.answered = nil, false
	}
	b.steps = append(b.steps, st.index)
	b.turn = append(b.turn, st.index)
	if st.request != nil {
		b.sessions["http"] = true
	} else {
		b.sessions[st.lines[0].Session] = true
	}
}

// key identifies what a client did, for its answer. The key of opening a session is the
// session's name.
func key(session string, pkt *packet.Packet, kind packet.Kind) string {
	if pkt == nil {
		return session
	}
	if kind == "" {
		kind = pkt.Kind
	}
	if kind == packet.Ping {
		return session + " " + pkt.Raw
	}
	return session + " " + string(kind) + " " + pkt.Namespace + "," + pkt.ID
}

func newBurst() *burst { return &burst{sessions: map[string]bool{}} }

// receive notes that the server sent an item.
func (b *burst) receive(it *item) { b.answered = b.answered || b.sessions[it.line.Session] }

// causesOf returns the steps of the burst that may have caused an item. A single client
// receives items in the order in which they were sent: after an answer, all effects of
// earlier steps have arrived. Other clients may receive them later.
func (b *burst) causesOf(it *item) []int {
	if len(b.sessions) == 1 && b.sessions[it.line.Session] {
		return slices.Clone(b.turn)
	}
	return slices.Clone(b.steps)
}

func sorted(steps []int) []int {
	slices.Sort(steps)
	return slices.Compact(steps)
}

// exactCause returns the step that an item answers, if the packets identify it.
func exactCause(it *item, open map[string]int) (int, bool) {
	if it.isAnswer() {
		return it.request, true
	}
	if it.packet == nil {
		return 0, false
	}
	var asked string
	session := it.line.Session
	switch it.packet.Kind {
	case packet.Handshake:
		asked = session
	case packet.Connect, packet.ConnectError:
		asked = key(session, &packet.Packet{Namespace: it.packet.Namespace}, packet.Connect)
	case packet.Ack:
		asked = key(session, it.packet, packet.Event)
	case packet.Pong:
		asked = session + " 2" + it.packet.Raw[1:]
	default:
		return 0, false
	}
	i, ok := open[asked]
	return i, ok
}

// ackedSteps returns the steps that ask for an ack, with the step of that ack.
func (p *plan) ackedSteps() map[int]int {
	asked, acked := map[string]int{}, map[int]int{}
	for i, st := range p.steps {
		if st.item != nil && st.item.packet != nil && st.item.packet.Kind == packet.Ack {
			if cause, ok := asked[key(st.item.line.Session, st.item.packet, packet.Event)]; ok {
				acked[cause] = i
			}
		}
		for k, pkt := range st.packets {
			if pkt != nil && pkt.Kind == packet.Event && pkt.ID != "" {
				asked[key(st.lines[k].Session, pkt, "")] = i
			}
		}
	}
	return acked
}

// stream returns the name of the stream of items whose order is compared with this one, or
// "" if there is none.
func (p *plan) stream(it *item, over string) string {
	if it.isAnswer() || it.anyOrder || it.optional {
		return ""
	}
	// The order between two open transports of a session is undefined.
	where := it.line.Session + " " + it.line.Over + " " + over
	if p.rules.Order == rules.Recorded {
		return where
	}
	if len(it.order) != 1 || it.packet == nil {
		return ""
	}
	return fmt.Sprintf("%s %s %d", where, it.packet.Namespace, it.order[0])
}

// needs reports whether a client's step waits for an earlier item. The end of an upgrade
// waits only for items of the upgrade.
func (st *step) needs(it *item) bool {
	if !st.endsUpgrade {
		return true
	}
	return !it.isAnswer() && it.line.Session == st.lines[0].Session && it.packet != nil &&
		(it.packet.Kind == packet.Handshake || it.packet.Kind == packet.Pong && it.line.Over == tape.WebSocket)
}
