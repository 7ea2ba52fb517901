package replay

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"counting/compat-tests/siotape/packet"
	"counting/compat-tests/siotape/rules"
	"counting/compat-tests/siotape/tape"
)

// A step is an action of a client in a recording, or an item that the server is expected
// to send.
type step struct {
	index int
	at    float64
	// One of these is set. lines is one line of a client, or the packets of one POST;
	// request is an HTTP request; item is what the server did.
	lines   []tape.Line
	request *tape.Line
	item    *item
	packets []*packet.Packet // of lines
	// transport reports whether the line is part of an upgrade, which causes no items.
	transport bool
	// endsUpgrade reports whether the step ends an upgrade. Pending packets of the
	// polling transport may arrive after it.
	endsUpgrade bool
}

// An item is a recorded action of the server: a packet with its attachments, a close, or a
// response.
type item struct {
	step    int
	at      float64
	line    tape.Line
	subject rules.Subject
	packet  *packet.Packet // nil for a close or an answer
	request int            // of a response: the step of the request

	optional bool  // it need not arrive
	anyOrder bool  // its order is not compared
	causes   []int // the steps that may have caused it
	exact    bool  // causes has the one step that caused it
	order    []int // as causes, by the shortest lull; if there is one, order is compared
	unclear  bool  // it may have been sent long before it was recorded

	matched bool
	came    int // the number of the arrival
	missed  bool
}

func (it *item) isAnswer() bool { return it.line.HTTP != nil }

func (it *item) String() string {
	if it.packet != nil {
		return it.packet.String()
	}
	return it.line.String()
}

// where returns the session or the request of the item.
func (it *item) where() string {
	if it.isAnswer() {
		return it.line.HTTP.Method + " " + it.line.HTTP.URL
	}
	return "session " + it.line.Session
}

// label describes the item.
func (it *item) label() string {
	switch {
	case it.packet != nil && it.packet.Kind == packet.Ack && it.subject.Name != "":
		return fmt.Sprintf("ack of %q", it.subject.Name)
	case it.packet != nil:
		return it.packet.Label()
	case it.isAnswer():
		return "answer to " + it.line.HTTP.Method + " " + it.subject.Path
	}
	return "close of " + it.line.Over
}

// earliest returns the first step that may have caused the item.
func (it *item) earliest() int {
	if len(it.causes) == 0 || it.unclear {
		return 0
	}
	return slices.Min(it.causes)
}

// A plan is a recording prepared for replay.
type plan struct {
	*tape.Recording
	rules    *rules.Rules
	steps    []*step
	sessions map[string]*sessionPlan
	paths    map[string]string // of WebSockets that are not Socket.IO, by session
}

// A sessionPlan is what is known about a session before the replay.
type sessionPlan struct {
	raw       bool
	heartbeat bool // pings are compared, and recorded pongs sent
	pinged    bool // the recording has pings
	polled    int  // how many packets it received by polling
	pollsOnly bool // it polls only for as many packets as were recorded; see session.awaitTurn
	asked     bool // an exchange of the recording has its id
	upgrades  int  // steps with its 5
	items     []*item
}

func newPlan(r *tape.Recording, rs *rules.Rules) *plan {
	p := &plan{Recording: r, rules: rs, sessions: map[string]*sessionPlan{}, paths: map[string]string{}}
	p.survey()
	p.order()
	p.findCauses()
	return p
}

func (p *plan) session(name string) *sessionPlan {
	s := p.sessions[name]
	if s == nil {
		s = &sessionPlan{}
		p.sessions[name] = s
	}
	return s
}

// survey sets the sessionPlans.
func (p *plan) survey() {
	polled := map[string]float64{}
	for _, l := range p.Lines {
		if l.Session == "" {
			continue
		}
		s := p.session(l.Session)
		switch {
		case l.Open && l.Raw:
			s.raw = true
			p.paths[l.Session] = pathOf(l.URL)
		case l.From == tape.Server && l.Packet != nil && !l.Binary && *l.Packet == "2":
			s.pinged = true
		case l.From == tape.Client && l.Packet != nil && *l.Packet == "5":
			s.upgrades++
		}
		s.heartbeat = s.pinged && p.rules.Heartbeats
	}
	for _, l := range p.Lines {
		if s := p.sessions[l.Session]; s != nil && l.From == tape.Server && l.Over == tape.Polling && l.Packet != nil && s.counts(*l.Packet) {
			s.polled++
			polled[l.Session] = l.At
		}
	}
	// In recordings of version 1 many clients were scripts, which polled only at certain
	// times. Additional polls could receive what they did not.
	const heartbeat = 15 // seconds
	for name, s := range p.sessions {
		s.asked = slices.ContainsFunc(p.Lines, func(l tape.Line) bool {
			return l.HTTP != nil && strings.Contains(l.HTTP.URL, "sid=$"+name)
		})
		short := len(p.Lines) > 0 && p.Lines[len(p.Lines)-1].At-polled[name] < heartbeat
		s.pollsOnly = s.asked || p.Version == 1 && short
	}
}

// counts reports whether a packet received by polling counts for polled.
func (s *sessionPlan) counts(text string) bool {
	return text != "" && text != "6" && text != "3" && (text != "2" || s.heartbeat)
}

// order makes the steps, sorted by time. A response is where it was complete.
func (p *plan) order() {
	left := map[string]bool{}                                                         // sessions, and sessions with a namespace
	waiting := map[string]*packet.Packet{}                                            // for attachments, by session and transport
	opened, upgraded, done := map[string]bool{}, map[string]bool{}, map[string]bool{} // done: its 5 was sent
	names := map[string]string{}                                                      // of events, by session, namespace and ack id
	var steps []*step
	for i := 0; i < len(p.Lines); i++ {
		l := p.Lines[i]
		switch {
		case l.NotUnderstood != "":
		case l.HTTP != nil:
			steps = append(steps, &step{at: l.At, request: &p.Lines[i]})
			if l.HTTP.Status == 0 { // the client did not wait for the response
				continue
			}
			it := &item{at: l.At + l.HTTP.Took, line: l, subject: p.subject(l, nil, "")}
			steps = append(steps, &step{at: it.at, item: it})
		case l.From == tape.Client:
			n := p.together(i)
			st := &step{at: l.At, lines: p.Lines[i : i+n]}
			i += n - 1
			if p.isRefusedPost(st, i+1) {
				continue
			}
			for _, l := range st.lines {
				pkt := p.parse(l)
				st.packets = append(st.packets, pkt)
				switch {
				case l.Open:
					st.transport = opened[l.Session]
					upgraded[l.Session] = upgraded[l.Session] || l.Over == tape.WebSocket && opened[l.Session]
					opened[l.Session] = true
				case l.Close && (l.Over == tape.WebSocket || !upgraded[l.Session]) || pkt != nil && pkt.Kind == packet.Close:
					if !l.Close || !p.continues(l.Session, i+1) {
						left[l.Session] = true
					}
				case pkt == nil:
				case pkt.Kind == packet.Disconnect:
					left[l.Session+pkt.Namespace] = true
				case pkt.Kind == packet.Connect:
					left[l.Session+pkt.Namespace] = false
				case pkt.Kind == packet.Event && pkt.ID != "":
					names[l.Session+pkt.Namespace+","+pkt.ID] = pkt.Name
				}
			}
			abandoned := l.Close && l.Over == tape.WebSocket && upgraded[l.Session] && !done[l.Session]
			st.transport = st.transport || abandoned || isTransport(st)
			st.endsUpgrade = abandoned || st.packets[0] != nil && st.packets[0].Kind == packet.Upgrade
			done[l.Session] = done[l.Session] || st.endsUpgrade && !abandoned
			left[l.Session+" "+tape.WebSocket] = abandoned || left[l.Session+" "+tape.WebSocket] && !l.Open
			steps = append(steps, st)
		default:
			if it := p.serverItem(l, waiting, upgraded, names); it != nil && !left[l.Session] && !left[l.Session+" "+l.Over] {
				it.optional = it.optional || it.packet != nil && left[l.Session+it.packet.Namespace]
				steps = append(steps, &step{at: it.at, item: it})
				s := p.session(l.Session)
				s.items = append(s.items, it)
			}
		}
	}
	if p.Version > 1 {
		slices.SortStableFunc(steps, func(a, b *step) int { return cmp.Compare(a.at, b.at) })
	}
	p.steps = steps
	requests := map[int]int{}
	for i, st := range steps {
		st.index = i
		if st.request != nil {
			requests[st.request.Number] = i
		}
		if st.item != nil {
			st.item.step, st.item.request = i, requests[st.item.line.Number]
		}
	}
}

// together returns how many lines from i on were sent in one POST.
func (p *plan) together(i int) int {
	posts := func(l tape.Line) bool {
		return l.From == tape.Client && l.Over == tape.Polling && l.Packet != nil
	}
	first, n := p.Lines[i], 1
	for ; i+n < len(p.Lines) && posts(first); n++ {
		l := p.Lines[i+n]
		if !posts(l) || l.Session != first.Session || l.At != first.At {
			break
		}
	}
	return n
}

// isRefusedPost reports whether a POST also occurs as an exchange, with the response that
// refused it.
func (p *plan) isRefusedPost(st *step, next int) bool {
	if next >= len(p.Lines) || p.Lines[next].HTTP == nil || st.lines[0].Over != tape.Polling || st.lines[0].Packet == nil {
		return false
	}
	var body []string
	for _, l := range st.lines {
		body = append(body, *l.Packet)
	}
	x := p.Lines[next].HTTP
	return x.Method == "POST" && x.Status != 200 && x.Body == strings.Join(body, packet.Separator) &&
		strings.Contains(x.URL, "sid=$"+st.lines[0].Session)
}

// continues reports whether the client of a session does anything from line i on.
func (p *plan) continues(session string, i int) bool {
	return slices.ContainsFunc(p.Lines[i:], func(l tape.Line) bool { return l.Session == session && l.From == tape.Client })
}

// parse returns the packet of a client's line, or nil.
func (p *plan) parse(l tape.Line) *packet.Packet {
	switch {
	case l.Packet == nil:
		return nil
	case l.Binary:
		return packet.FromBytes(l.Data())
	case p.session(l.Session).raw:
		return &packet.Packet{Kind: packet.Text, Raw: *l.Packet, HasBody: true}
	case l.Over == tape.Polling:
		return packet.FromPolling(*l.Packet)
	}
	return packet.Parse(*l.Packet)
}

// isTransport reports whether a client's step is a packet of an upgrade.
func isTransport(st *step) bool {
	if len(st.lines) != 1 || st.lines[0].Over != tape.WebSocket || st.packets[0] == nil {
		return false
	}
	return st.packets[0].Kind == packet.Upgrade || st.packets[0].Raw == "2probe"
}

// serverItem returns the item of a server's line, or nil if it is internal to the
// transport or a packet whose attachments follow.
func (p *plan) serverItem(l tape.Line, waiting map[string]*packet.Packet, upgraded map[string]bool, names map[string]string) *item {
	it := &item{at: l.At, line: l}
	if l.Packet == nil {
		it.subject = rules.Subject{Recording: p.Name, Kind: "close"}
		return it
	}
	pkt := join(waiting, l.Session+" "+l.Over, p.parse(l))
	if pkt == nil || p.isIgnored(l.Session, l.Over, pkt, upgraded[l.Session]) {
		return nil
	}
	it.packet = pkt
	name := pkt.Name
	if pkt.Kind == packet.Ack {
		name = names[l.Session+pkt.Namespace+","+pkt.ID]
	}
	it.subject = p.subject(l, pkt, name)
	it.optional = p.rules.IsFree(it.subject)
	it.anyOrder = p.rules.IsInAnyOrder(it.subject)
	return it
}

// join adds attachments to the packet that they belong to. It returns nil until a packet is
// complete.
func join(waiting map[string]*packet.Packet, key string, pkt *packet.Packet) *packet.Packet {
	if head := waiting[key]; head != nil {
		if pkt.Kind == packet.Binary {
			if head.Attach([]byte(pkt.Raw)); head.Missing() > 0 {
				return nil
			}
			delete(waiting, key)
			return head
		}
	}
	if pkt.Missing() > 0 {
		waiting[key] = pkt
		return nil
	}
	return pkt
}

// isIgnored reports whether a packet of the server is internal to the transport: an empty
// poll, a noop, the end of the last poll before an upgrade, and heartbeats if they are not
// compared.
func (p *plan) isIgnored(session, over string, pkt *packet.Packet, upgraded bool) bool {
	s := p.session(session)
	switch {
	case s.raw:
		return false
	case pkt.Kind == packet.Noop, pkt.Kind == packet.Text && pkt.Raw == "":
		return true
	case pkt.Kind == packet.Close:
		return upgraded && over == tape.Polling
	case pkt.Raw == "2", pkt.Raw == "3":
		return !s.heartbeat
	}
	return false
}

// subject returns the subject of a server's line, for the rules.
func (p *plan) subject(l tape.Line, pkt *packet.Packet, name string) rules.Subject {
	s := rules.Subject{Recording: p.Name}
	switch {
	case l.HTTP != nil:
		s.Kind, s.Method, s.Path, s.Status = "http", l.HTTP.Method, pathOf(l.HTTP.URL), l.HTTP.Status
	case p.session(l.Session).raw:
		s.Kind, s.Path = "websocket", p.paths[l.Session]
	default:
		s.Kind, s.Name, s.Namespace = string(pkt.Kind), name, pkt.Namespace
	}
	return s
}

func pathOf(u string) string {
	before, _, _ := strings.Cut(u, "?")
	if parsed, err := url.Parse(before); err == nil {
		return parsed.Path
	}
	return before
}
