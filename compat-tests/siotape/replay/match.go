package replay

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"counting/compat-tests/siotape/packet"
	"counting/compat-tests/siotape/tape"
)

// judgeArrivals compares all arrivals since the last call.
func (e *engine) judgeArrivals() error {
	for {
		e.mu.Lock()
		arrivals := e.arrivals
		e.arrivals = nil
		e.mu.Unlock()
		if len(arrivals) == 0 {
			return nil
		}
		for _, a := range arrivals {
			if a.err != nil {
				return a.err
			}
			e.judge(a)
		}
	}
}

func (e *engine) judge(a *arrival) {
	if e.playOnly {
		e.note(a)
		return
	}
	if a.HTTP == nil && a.Packet != nil {
		pkt := join(e.waiting, a.Session+" "+a.Over, e.parse(a.Line))
		if pkt == nil || e.isIgnored(a.Session, a.Over, pkt, e.left[a.Session+" "+tape.Polling] || e.session(a.Session).upgrades > 0) {
			return
		}
		a.packet = pkt
	}
	e.lastHeard = a.when
	e.count++
	a.number = e.count
	if a.HTTP != nil {
		e.answer(a)
		return
	}
	if !e.match(a) && !e.hasLeft(a) && !a.refused {
		e.pool = append(e.pool, a)
		e.noteClose(a)
	}
}

// answer compares a response with the recorded one.
func (e *engine) answer(a *arrival) {
	i := slices.IndexFunc(e.steps, func(st *step) bool { return st.item != nil && st.item.isAnswer() && st.item.request == a.request })
	if i < 0 {
		return
	}
	it := e.steps[i].item
	j := e.compare(it, a)
	switch {
	case it.missed:
		it.matched = true
		e.late(it, a)
	case len(j.leaves) == 0:
		e.accept(it, a, j)
	default:
		it.matched = true
		e.values.bind(j.tx)
		e.report(Difference{Kind: Changed, Line: it.line.Number, Where: it.where(), What: it.label(),
			Recorded: it.String(), Came: e.shown(it, a), Leaves: j.leaves, item: it})
	}
}

// shown returns a response for reports, with the headers that were recorded or differ.
func (e *engine) shown(it *item, a *arrival) string {
	x := *a.HTTP
	x.ResponseHeaders = maps.Clone(x.ResponseHeaders)
	for name := range x.ResponseHeaders {
		if _, ok := it.line.HTTP.ResponseHeaders[name]; !ok && (!e.allHeaders() || slices.Contains(tape.Never, name) || name == "Content-Type") {
			delete(x.ResponseHeaders, name)
		}
	}
	return x.String()
}

// note handles an arrival of a replay that compares nothing: it keeps ack ids.
func (e *engine) note(a *arrival) {
	if a.Packet != nil && !a.Binary {
		e.noteID(a.Session, packet.Parse(*a.Packet), packet.Parse(*a.Packet))
	}
	e.lastHeard = a.when
}

// match finds the item of an arrival.
func (e *engine) match(a *arrival) bool {
	for _, it := range e.candidates(a) {
		if it.matched || it.earliest() > a.played || !e.alike(it, a) {
			continue
		}
		j := e.compare(it, a)
		if len(j.leaves) > 0 {
			continue
		}
		if it.missed {
			e.came(it, a)
			e.late(it, a)
			return true
		}
		e.accept(it, a, j)
		return true
	}
	return false
}

// candidates returns the items of an arrival's session that are not matched.
func (e *engine) candidates(a *arrival) []*item {
	s := e.session(a.Session)
	for len(s.items) > 0 && s.items[0].matched {
		s.items = s.items[1:]
	}
	return s.items
}

// alike reports whether an arrival and an item can differ only in their values.
func (e *engine) alike(it *item, a *arrival) bool {
	if it.packet == nil || a.packet == nil {
		return it.packet == nil && a.packet == nil && it.line.Close == a.Close && (it.line.Over == a.Over || e.session(a.Session).upgrades > 0)
	}
	w, g := it.packet, a.packet
	if w.Kind != g.Kind || w.Namespace != g.Namespace || w.Name != g.Name {
		return false
	}
	if w.Kind == packet.Event { // its ack id may differ
		return (w.ID == "") == (g.ID == "")
	}
	return w.ID == g.ID
}

func (e *engine) compare(it *item, a *arrival) *judge {
	j := &judge{values: e.values, masks: e.masks(it.subject), tx: map[string]string{}}
	switch {
	case it.isAnswer():
		j.exchange(it.line.HTTP, a.HTTP, e.allHeaders())
	case it.packet != nil:
		j.packet(it.packet, a.packet)
		if it.packet.Kind == packet.Handshake {
			j.fields(it.line.Headers, a.Headers, e.allHeaders() && it.line.Headers != nil)
		}
	}
	return j
}

// accept matches an arrival with an item, and compares the order.
func (e *engine) accept(it *item, a *arrival, j *judge) {
	e.came(it, a)
	e.values.bind(j.tx)
	e.result.Masked += j.masked
	due := time.Duration((it.at - e.lastAt) * float64(time.Second))
	if late := a.when.Sub(e.playedAt) - due; it.step > 0 && late > e.result.Slowest {
		e.result.Slowest = late
	}
	if s := e.stream(it, a.Over); s != "" {
		if e.highest[s] > it.step {
			e.report(Difference{Kind: Order, Line: it.line.Number, Where: it.where(), What: it.label(),
				Recorded: fmt.Sprintf("%s before %s", it, e.streams[s]), Came: fmt.Sprintf("%s before %s", e.streams[s], it), item: it})
			return
		}
		e.highest[s], e.streams[s] = it.step, it.String()
	}
	if it.isAnswer() || it.optional {
		return
	}
	if all := it.line.Session + " " + it.line.Over + " " + a.Over; e.highest[all] > it.step {
		e.result.Reordered++
	} else {
		e.highest[all] = it.step
	}
}

func (e *engine) came(it *item, a *arrival) {
	it.matched, it.came = true, a.number
	e.noteID(a.Session, it.packet, a.packet)
	e.noteClose(a)
}

// noteID keeps the ack id of a server's event, for the client's ack.
func (e *engine) noteID(session string, recorded, came *packet.Packet) {
	if recorded != nil && recorded.Kind == packet.Event && recorded.ID != "" {
		e.ids[session+recorded.Namespace+","+recorded.ID] = came.ID
	}
}

// noteClose notes that the server has ended a session.
func (e *engine) noteClose(a *arrival) {
	if a.Close && !e.left[a.Session+" "+a.Over] && !e.fallsBack(a) {
		e.dead[a.Session] = true
	}
}

// fallsBack reports whether a WebSocket that the server closed was an unfinished upgrade,
// so that the session continues polling.
func (e *engine) fallsBack(a *arrival) bool {
	return a.Over == tape.WebSocket && a.number >= 0 && e.upgrading(a.Session)
}

// upgrading reports whether a session that began by polling has not finished its upgrade.
func (e *engine) upgrading(session string) bool {
	polls := false
	for i, st := range e.steps {
		if i > e.played {
			break
		}
		for k, l := range st.lines {
			if l.Session != session {
				continue
			}
			polls = polls || l.Open && l.Over == tape.Polling
			if st.packets[k] != nil && st.packets[k].Kind == packet.Upgrade && i < e.played {
				return false
			}
		}
	}
	return polls
}

// miss reports that an item has not arrived, unless it arrived too early or changed.
func (e *engine) miss(it *item) {
	it.missed = true
	d := Difference{Kind: Missing, Line: it.line.Number, Where: it.where(), What: it.label(), Recorded: it.String(), Came: "nothing", item: it}
	for i, a := range e.pool {
		if a.Session != it.line.Session || !e.alike(it, a) {
			continue
		}
		j := e.compare(it, a)
		if len(j.leaves) == 0 {
			d.Kind, d.Came = Early, fmt.Sprintf("%s, after %s", a, e.steps[max(a.played, 0)].name())
		} else if it.earliest() <= a.played || it.packet != nil && it.packet.Kind != packet.Event {
			d.Kind, d.Came, d.Leaves = Changed, a.String(), j.leaves
		} else {
			continue
		}
		maps.Copy(e.values.came, j.tx)
		e.came(it, a)
		e.pool = append(e.pool[:i], e.pool[i+1:]...)
		break
	}
	e.report(d)
}

// answeredOtherwise reports whether a step was answered differently, so that waiting for
// the item is useless.
func (e *engine) answeredOtherwise(it *item) bool {
	return it.exact && slices.ContainsFunc(e.pool, func(a *arrival) bool {
		return a.Session == it.line.Session && a.played >= it.earliest() && e.alike(it, a)
	})
}

// late changes the report of a missing item to a late one.
func (e *engine) late(it *item, a *arrival) {
	for i := range e.result.Differences {
		if d := &e.result.Differences[i]; d.item == it && d.Kind == Missing {
			d.Kind, d.Came = Late, fmt.Sprintf("%s, later than recorded by %v or more", a, e.Patience)
		}
	}
}

// clientPacket returns a client's packet in which recorded values of the server are
// replaced by the received ones.
func (e *engine) clientPacket(l tape.Line, pkt *packet.Packet) string {
	text := *l.Packet
	if l.Binary {
		return text
	}
	if pkt != nil && pkt.Kind == packet.Ack && pkt.ID != "" {
		if id, ok := e.ids[l.Session+pkt.Namespace+","+pkt.ID]; ok && id != pkt.ID {
			text = withID(text, pkt, id)
		}
	}
	return e.values.substitute(text, inJSON)
}

// withID replaces the id of an ack.
func withID(text string, pkt *packet.Packet, id string) string {
	before, after, ok := strings.Cut(text, pkt.ID+"[")
	if !ok {
		return text
	}
	return before + id + "[" + after
}
