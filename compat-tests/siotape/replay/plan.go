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

// A step is one thing of a recording: what a client did, or what the server is
// expected to do.
type step struct {
	index int
	at    float64
	// One of these is set. Lines are one line of a client, or the packets of one
	// POST; request is an HTTP request; item is what the server did.
	lines   []tape.Line
	request *tape.Line
	item    *item
	packets []*packet.Packet // of lines
	// transport says that the line is part of an upgrade, which causes nothing.
	transport bool
	// impatient says that it ends an upgrade: what is still to come by polling
	// may come only after it.
	impatient bool
}

// An item is one thing that the server did when it was recorded: a packet with
// its attachments, a close, or an answer.
type item struct {
	step    int
	at      float64
	line    tape.Line
	subject rules.Subject
	packet  *packet.Packet // nil for a close or an answer
	request int            // of an answer: the step that asked

	optional bool  // it may come or not
	anyOrder bool  // its place does not matter
	causes   []int // the steps of which one caused it
	exact    bool  // causes has the one step that did
	order    []int // as causes, but with the shortest lull: where it is one, order counts
	unclear  bool  // it may have come long before it was recorded

	matched bool
	came    int // which arrival it was
	missed  bool
}

func (it *item) isAnswer() bool { return it.line.HTTP != nil }

func (it *item) String() string {
	if it.packet != nil {
		return it.packet.String()
	}
	return it.line.String()
}

// where names the session or the request that it belongs to.
func (it *item) where() string {
	if it.isAnswer() {
		return it.line.HTTP.Method + " " + it.line.HTTP.URL
	}
	return "session " + it.line.Session
}

// label says in a few words what it is.
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

// earliest is the step before which the item cannot have come.
func (it *item) earliest() int {
	if len(it.causes) == 0 || it.unclear {
		return 0
	}
	return slices.Min(it.causes)
}

// A plan is a recording made ready for replay.
type plan struct {
	*tape.Recording
	rules    *rules.Rules
	steps    []*step
	sessions map[string]*sessionPlan
	paths    map[string]string // of WebSockets that are not Socket.IO, by session
}

// A sessionPlan is what is known of a session beforehand.
type sessionPlan struct {
	raw       bool
	heartbeat bool // pings are compared, and recorded pongs sent
	pinged    bool // the recording has pings
	polled    int  // how many packets it got by polling
	pollsOnly bool // it polls for no more than was recorded; see player.mayPoll
	asked     bool // an exchange of the recording polls for it
	upgrades  int  // steps with its 5
	items     []*item
}

func newPlan(r *tape.Recording, rs *rules.Rules) *plan {
	p := &plan{Recording: r, rules: rs, sessions: map[string]*sessionPlan{}, paths: map[string]string{}}
	p.survey()
	p.lay()
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

// survey finds what has to be known of each session before its first line.
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
	// In recordings of version 1 clients were often no real ones, and polled when
	// they chose to: a poll too many could meet what they did not.
	const heartbeat = 15 // seconds
	for name, s := range p.sessions {
		s.asked = slices.ContainsFunc(p.Lines, func(l tape.Line) bool {
			return l.HTTP != nil && strings.Contains(l.HTTP.URL, "sid=$"+name)
		})
		short := len(p.Lines) > 0 && p.Lines[len(p.Lines)-1].At-polled[name] < heartbeat
		s.pollsOnly = s.asked || p.Version == 1 && short
	}
}

// counts reports whether a packet that came by polling is one of those that a
// session polls for.
func (s *sessionPlan) counts(text string) bool {
	return text != "" && text != "6" && text != "3" && (text != "2" || s.heartbeat)
}

// lay puts what happened in order: an answer where it was complete.
func (p *plan) lay() {
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
			if l.HTTP.Status == 0 { // nobody waited for the answer
				continue
			}
			it := &item{at: l.At + l.HTTP.Took, line: l, subject: p.subject(l, nil, "")}
			steps = append(steps, &step{at: it.at, item: it})
		case l.From == tape.Client:
			n := p.together(i)
			st := &step{at: l.At, lines: p.Lines[i : i+n]}
			i += n - 1
			if p.sentAgain(st, i+1) {
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
					if !l.Close || !p.goesOn(l.Session, i+1) {
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
			givenUp := l.Close && l.Over == tape.WebSocket && upgraded[l.Session] && !done[l.Session]
			st.transport = st.transport || givenUp || isTransport(st)
			st.impatient = givenUp || st.packets[0] != nil && st.packets[0].Kind == packet.Upgrade
			done[l.Session] = done[l.Session] || st.impatient && !givenUp
			left[l.Session+" "+tape.WebSocket] = givenUp || left[l.Session+" "+tape.WebSocket] && !l.Open
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

// together counts the lines from i on that went in one POST.
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

// sentAgain reports whether a POST stands in the recording a second time, as an
// exchange with the answer that refused it.
func (p *plan) sentAgain(st *step, next int) bool {
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

// goesOn reports whether anything happens on a session from line i on.
func (p *plan) goesOn(session string, i int) bool {
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

// serverItem makes an item of a server's line, unless it is the transport's own
// business or a packet whose attachments are still to come.
func (p *plan) serverItem(l tape.Line, waiting map[string]*packet.Packet, upgraded map[string]bool, names map[string]string) *item {
	it := &item{at: l.At, line: l}
	if l.Packet == nil {
		it.subject = rules.Subject{Recording: p.Name, Kind: "close"}
		return it
	}
	pkt := join(waiting, l.Session+" "+l.Over, p.parse(l))
	if pkt == nil || p.passesOver(l.Session, l.Over, pkt, upgraded[l.Session]) {
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

// join gives attachments to the packet that waits for them. It returns nil until
// a packet is complete.
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

// passesOver reports whether a packet of the server's is the transport's own
// business: an empty poll, a noop, the end of a poll that an upgrade leaves
// behind, and heartbeats where they are not compared.
func (p *plan) passesOver(session, over string, pkt *packet.Packet, upgraded bool) bool {
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

// subject is what rules are to know of a line of the server's.
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
