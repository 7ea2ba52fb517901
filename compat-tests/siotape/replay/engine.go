package replay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"counting/compat-tests/siotape/packet"
	"counting/compat-tests/siotape/rules"
	"counting/compat-tests/siotape/tape"
)

// An arrival is something that the server did during the replay.
type arrival struct {
	tape.Line      // its session, transport, packet or close, or its response
	request   int  // of a response: the step of the request
	played    int  // the last step played before it
	refused   bool // a close by refusing a poll
	when      time.Time
	number    int
	packet    *packet.Packet
	err       error // of a response: why there is none
}

func (a *arrival) String() string {
	if a.packet != nil {
		return a.packet.String()
	}
	return a.Line.String()
}

func (a *arrival) label() string {
	it := item{line: a.Line, packet: a.packet}
	return it.label()
}

// An engine plays the steps of a plan in order, on one goroutine, and compares what arrives
// on others.
type engine struct {
	*plan
	Options
	values   *values
	playOnly bool     // compare nothing
	refusals []string // of what clients sent, with playOnly

	mu       sync.Mutex // guards what follows
	arrivals []*arrival
	played   int
	ready    chan struct{} // receives a value when there are arrivals

	result              Result
	pool                []*arrival // arrivals that are not matched yet
	items               []*item    // not yet matched, up to the step that is played
	waiting             map[string]*packet.Packet
	ids                 map[string]string // ack ids of the server's events, by session, namespace and recorded id
	left                map[string]bool   // as in plan.order, for the steps that were played
	dead                map[string]bool   // sessions that the server has ended
	highest             map[string]int    // by stream, the greatest matched step
	streams             map[string]string // its item, for the report
	count               int
	playedAt, lastHeard time.Time
	lastAt              float64
	after               string
}

func newEngine(r *tape.Recording, o Options) *engine {
	return &engine{
		plan: newPlan(r, o.Rules), Options: o, values: newValues(r, o.Values), played: -1,
		ready: make(chan struct{}, 1), waiting: map[string]*packet.Packet{}, ids: map[string]string{},
		left: map[string]bool{}, dead: map[string]bool{}, highest: map[string]int{}, streams: map[string]string{},
		result: Result{Name: r.Name},
	}
}

// receive adds an arrival. It may be called concurrently.
func (e *engine) receive(a *arrival) {
	a.From = tape.Server
	e.mu.Lock()
	a.played, a.when = e.played, time.Now()
	e.arrivals = append(e.arrivals, a)
	e.mu.Unlock()
	select {
	case e.ready <- struct{}{}:
	default:
	}
}

func (e *engine) run(ctx context.Context, p peer) (*Result, error) {
	e.playedAt, e.lastHeard = time.Now(), time.Now()
	e.notCompared()
	for i, st := range e.steps {
		if len(e.result.Differences) >= e.Most {
			e.result.Stopped = true
			return &e.result, nil
		}
		if st.item != nil {
			if !e.playOnly {
				e.items = append(e.items, st.item)
			}
			continue
		}
		if err := e.await(ctx, st); err != nil {
			return nil, err
		}
		if err := e.pause(ctx, st); err != nil {
			return nil, err
		}
		if err := e.play(p, st, i); err != nil {
			return nil, err
		}
	}
	if err := e.await(ctx, nil); err != nil {
		return nil, err
	}
	p.drain()
	if err := e.awaitQuiet(ctx); err != nil || e.playOnly {
		return nil, err
	}
	return &e.result, e.finish(ctx)
}

// notCompared notes the parts of the recording that cannot be compared.
func (e *engine) notCompared() {
	for _, l := range e.Lines {
		if l.NotUnderstood != "" {
			e.result.NotCompared = append(e.result.NotCompared, fmt.Sprintf("line %d: %s", l.Number, l.NotUnderstood))
		}
	}
	if e.End == nil && !e.playOnly {
		e.result.NotCompared = append(e.result.NotCompared, "the recording has no end: its recorder was killed, and what followed is unknown")
	}
	if e.State != nil && (e.End == nil || e.End.State == nil) {
		e.result.NotCompared = append(e.result.NotCompared, "the state file: none was recorded")
	}
}

// pause waits as long as was recorded before the step, up to the limit.
func (e *engine) pause(ctx context.Context, st *step) error {
	gap := time.Duration((st.at - e.lastAt) * float64(time.Second))
	if e.Pace == RecordedPace {
		gap -= time.Since(e.playedAt)
	}
	return e.until(ctx, time.Now().Add(min(gap, e.Pace)), func() bool { return false })
}

// until compares arrivals until enough returns true or the deadline passes.
func (e *engine) until(ctx context.Context, deadline time.Time, enough func() bool) error {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		if err := e.judgeArrivals(); err != nil {
			return err
		}
		if enough() {
			return nil
		}
		select {
		case <-e.ready:
		case <-timer.C:
			return e.judgeArrivals()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// await waits for the items that a step needs, or for all if st is nil.
func (e *engine) await(ctx context.Context, st *step) error {
	due := func() *item {
		for _, it := range e.items {
			if !it.matched && !it.missed && !it.optional && (st == nil || st.needs(it)) && !e.dead[it.line.Session] {
				return it
			}
		}
		return nil
	}
	for it := due(); it != nil; it = due() {
		took := time.Duration((it.at - e.lastAt) * float64(time.Second))
		deadline := e.playedAt.Add(max(took, 0) + e.Patience)
		if err := e.until(ctx, deadline, func() bool { return it.matched || e.dead[it.line.Session] || e.answeredOtherwise(it) }); err != nil {
			return err
		}
		if !it.matched && !e.dead[it.line.Session] {
			e.miss(it)
		}
	}
	e.forget()
	return nil
}

// forget removes items that are matched or missed.
func (e *engine) forget() {
	rest := e.items[:0]
	for _, it := range e.items {
		if !it.matched && !it.missed {
			rest = append(rest, it)
		}
	}
	e.items = rest
}

func (e *engine) play(p peer, st *step, i int) error {
	e.mu.Lock()
	e.played = i
	e.mu.Unlock()
	e.playedAt, e.lastAt = time.Now(), st.at
	if st.request != nil {
		x := st.request.HTTP
		e.after = fmt.Sprintf("%s %s (line %d)", x.Method, x.URL, st.request.Number)
		p.exchange(i, *x)
		return nil
	}
	for k, l := range st.lines {
		e.leave(l, st.packets[k])
		e.after = fmt.Sprintf("client %s (line %d): %s", l.Session, l.Number, l)
	}
	l := st.lines[len(st.lines)-1]
	if e.dead[l.Session] && !l.Open {
		return nil
	}
	refused, err := p.play(st)
	if err != nil {
		return fmt.Errorf("line %d: %w", st.lines[0].Number, err)
	}
	if refused != "" && e.Version == 1 && e.session(l.Session).asked && l.Over == tape.Polling {
		// Version 1 does not have responses to POSTs, and the exchanges of this
		// session show that it had ended.
		return nil
	}
	switch {
	case refused == "":
	case e.playOnly:
		e.refusals = append(e.refusals, fmt.Sprintf("line %d: the client's %s in session %s: %s", l.Number, l, l.Session, refused))
	default:
		e.dead[l.Session] = true
		e.report(Difference{Kind: Refused, Line: l.Number, Where: "session " + l.Session, What: l.String(),
			Recorded: fmt.Sprintf("the server accepted the client's %s", l), Came: refused})
	}
	return nil
}

// leave notes which namespaces and transports a client has left or joined again.
func (e *engine) leave(l tape.Line, pkt *packet.Packet) {
	switch {
	case l.Close:
		e.left[l.Session+" "+l.Over] = true
	case pkt == nil:
	case pkt.Kind == packet.Close:
		e.left[l.Session+" "+tape.Polling], e.left[l.Session+" "+tape.WebSocket] = true, true
	case pkt.Kind == packet.Disconnect:
		e.left[l.Session+pkt.Namespace] = true
	case pkt.Kind == packet.Connect:
		e.left[l.Session+pkt.Namespace] = false
	}
}

// hasLeft reports whether an arrival is for a client that has left.
func (e *engine) hasLeft(a *arrival) bool {
	return e.left[a.Session+" "+a.Over] || a.packet != nil && a.packet.Namespace != "" && e.left[a.Session+a.packet.Namespace]
}

// awaitQuiet waits until nothing has arrived for a while.
func (e *engine) awaitQuiet(ctx context.Context) error {
	const most = 15 // intervals, if the server does not stop sending
	deadline := time.Now().Add(most * e.Quiet)
	e.lastHeard = time.Now()
	for time.Now().Before(deadline) {
		quiet := e.lastHeard.Add(e.Quiet)
		if !time.Now().Before(quiet) {
			return nil
		}
		if err := e.until(ctx, quiet, func() bool { return e.lastHeard.Add(e.Quiet).After(quiet) }); err != nil {
			return err
		}
	}
	return nil
}

// finish reports unmatched arrivals, and compares the state.
func (e *engine) finish(ctx context.Context) error {
	for _, a := range e.pool {
		if e.isAbandonedProbe(a) {
			continue
		}
		e.report(Difference{Kind: Unexpected, Where: "session " + a.Session, What: a.label(), After: e.steps[max(a.played, 0)].name(),
			Recorded: "nothing", Came: a.String()})
	}
	if e.State == nil || e.End == nil || e.End.State == nil {
		return nil
	}
	var lines []string
	for deadline := time.Now().Add(e.Patience); ; {
		var err error
		if lines, err = e.State(); errors.Is(err, fs.ErrNotExist) {
			lines, err = nil, nil // nothing was written
		}
		if err != nil {
			return fmt.Errorf("the state file: %w", err)
		}
		if e.sameState(lines) {
			return nil
		}
		if time.Now().After(deadline) {
			e.report(e.stateDifference(lines))
			return nil
		}
		if err := e.until(ctx, time.Now().Add(10*time.Millisecond), func() bool { return false }); err != nil {
			return err
		}
	}
}

// isAbandonedProbe reports whether an arrival answers the probe of a client that closed its
// WebSocket before the answer was recorded: it is random which of them comes first.
func (e *engine) isAbandonedProbe(a *arrival) bool {
	if a.packet == nil || a.packet.Kind != packet.Pong || a.Over != tape.WebSocket {
		return false
	}
	probed := false
	for _, st := range e.steps {
		if it := st.item; it != nil {
			if it.line.Session == a.Session && it.packet != nil && it.packet.Raw == a.packet.Raw && probed {
				return false // it was answered
			}
			continue
		}
		for k, l := range st.lines {
			switch pkt := st.packets[k]; {
			case l.Session != a.Session || l.Over != tape.WebSocket:
			case pkt != nil && pkt.Kind == packet.Ping && pkt.Raw[1:] == a.packet.Raw[1:]:
				probed = true
			case pkt != nil && pkt.Kind == packet.Upgrade:
				return false
			case l.Close && probed:
				return true
			}
		}
	}
	return probed
}

// name returns the name of the step for reports.
func (st *step) name() string {
	switch {
	case st.request != nil:
		return fmt.Sprintf("%s %s (line %d)", st.request.HTTP.Method, st.request.HTTP.URL, st.request.Number)
	case st.item != nil:
		return fmt.Sprintf("line %d", st.item.line.Number)
	}
	l := st.lines[len(st.lines)-1]
	return fmt.Sprintf("client %s (line %d): %s", l.Session, l.Number, l)
}

func (e *engine) report(d Difference) {
	if d.After == "" && d.Kind != StateFile {
		d.After = e.after
	}
	e.result.Differences = append(e.result.Differences, d)
}

// allHeaders reports whether the recording has all response headers.
func (e *engine) allHeaders() bool { return e.Version > 1 }

// masks returns the masks that apply to a subject.
func (e *engine) masks(s rules.Subject) []*rules.Mask { return e.rules.MasksFor(s) }
