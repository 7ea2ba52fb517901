package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"counting/compat-tests/siotape/packet"
	"counting/compat-tests/siotape/tape"
)

// A refusal is the response of a server that refused what a client did.
type refusal string

func (r refusal) Error() string { return string(r) }

// A session is one Engine.IO client, or one other WebSocket, that sends what was recorded,
// including broken packets.
type session struct {
	*replayer
	name   string
	plan   *sessionPlan
	ctx    context.Context // of its requests
	cancel context.CancelFunc

	running sync.WaitGroup
	posting chan struct{} // closed when the last POST is answered
	changed chan struct{} // receives a value when polling may continue or end

	mu       sync.Mutex // guards what follows, and writing to ws
	base     string     // URL of its polling requests, without an id
	headers  http.Header
	host     string
	sid      string
	ws       *websocket.Conn
	polled   int           // packets received, as counted by the plan
	inPoll   chan struct{} // closed when the pending poll ends; nil if there is none
	paused   bool          // an upgrade is being finished
	probed   bool          // the server has answered the probe
	stopped  bool          // no further poll may begin
	draining bool
}

func newSession(p *replayer, name string) *session {
	s := &session{replayer: p, name: name, plan: p.engine.session(name), changed: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(p.ctx)
	return s
}

// play plays one step.
func (s *session) play(st *step) error {
	l := st.lines[0]
	switch {
	case l.Open && l.Over == tape.Polling:
		return s.openPolling(l)
	case l.Open:
		return s.openWebSocket(l)
	case l.Close:
		s.leave(l.Over)
		return nil
	case l.Over == tape.Polling:
		packets := []string{}
		for k, l := range st.lines {
			if !s.isPong(l) {
				packets = append(packets, s.clientPacket(l, st.packets[k]))
			}
		}
		if len(packets) == 0 {
			return nil
		}
		return s.post(l.Headers, packets...)
	case s.isPong(l):
		return nil
	case st.packets[0].Kind == packet.Upgrade && !s.plan.raw:
		s.beforeUpgrade()
		defer s.afterUpgrade()
	}
	return s.write(s.clientPacket(l, st.packets[0]), l.Binary)
}

// isPong reports whether a line answers a ping that is not compared. Received pings are
// answered independently of the recording.
func (s *session) isPong(l tape.Line) bool {
	return s.plan.pinged && !s.plan.heartbeat && !s.plan.raw && !l.Binary && *l.Packet == "3"
}

// beforeUpgrade waits, before the 5, until the server has ended the pending poll, as every
// client does.
func (s *session) beforeUpgrade() {
	s.mu.Lock()
	s.paused = true
	waits, probed := s.inPoll, s.probed
	s.mu.Unlock()
	if waits == nil || !probed {
		return
	}
	select {
	case <-waits:
	case <-time.After(time.Second): // the server does not end it: continue as recorded
	case <-s.ctx.Done():
	}
}

func (s *session) afterUpgrade() {
	s.mu.Lock()
	s.stopped = s.stopped || s.probed
	s.mu.Unlock()
	s.wake()
}

func (s *session) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *session) openPolling(l tape.Line) error {
	s.base = s.requestURL(l.URL, tape.Polling)
	s.headers, s.host = s.header(l.Headers, false)
	x, err := s.request(http.MethodGet, nil, "")
	if err != nil {
		return err
	}
	for i, packet := range split(x.Response) {
		line := tape.Line{Over: tape.Polling, Packet: &packet}
		if i == 0 {
			line.Headers = x.ResponseHeaders
		}
		s.receiveLine(line)
	}
	s.running.Go(s.poll)
	return nil
}

// poll keeps a poll pending until polling stops.
func (s *session) poll() {
	for s.awaitTurn() {
		x, err := s.request(http.MethodGet, nil, "")
		s.mu.Lock()
		close(s.inPoll)
		s.inPoll = nil
		s.mu.Unlock()
		if s.ctx.Err() != nil {
			return
		}
		if err != nil {
			s.receiveLine(tape.Line{Over: tape.Polling, Close: true})
			return
		}
		for _, packet := range split(x.Response) {
			s.receiveLine(tape.Line{Over: tape.Polling, Packet: &packet})
		}
		if x.Response == "6" { // during an upgrade all polls may be answered like this
			select {
			case <-time.After(10 * time.Millisecond):
			case <-s.ctx.Done():
			}
		}
	}
}

// awaitTurn waits until the next poll may begin. It returns false if polling has stopped.
func (s *session) awaitTurn() bool {
	for {
		s.mu.Lock()
		stopped := s.stopped
		may := !stopped && !s.paused && (s.draining || !s.plan.pollsOnly || s.polled < s.plan.polled)
		if may {
			s.inPoll = make(chan struct{})
		}
		s.mu.Unlock()
		if stopped || may {
			return may
		}
		select {
		case <-s.changed:
		case <-s.ctx.Done():
			return false
		}
	}
}

func (s *session) drain() {
	s.mu.Lock()
	s.draining = !s.plan.asked
	s.mu.Unlock()
	s.wake()
}

// plainText is the default header of POSTs.
var plainText = tape.Headers{"Content-Type": {"text/plain;charset=UTF-8"}}

func (s *session) post(headers tape.Headers, packets ...string) error {
	if packets[0] == "1" {
		s.stopPolling()
	}
	if headers.Get("Content-Type") == "" {
		headers = plainText
	}
	// Clients send one POST after the other.
	if s.posting != nil {
		select {
		case <-s.posting:
		case <-time.After(s.Patience):
		case <-s.ctx.Done():
		}
	}
	done := make(chan struct{})
	s.posting = done
	var err error
	s.running.Go(func() {
		_, err = s.request(http.MethodPost, headers, strings.Join(packets, packet.Separator))
		close(done)
	})
	select {
	case <-done:
		return err
	case <-time.After(postTimeout):
		return nil // some servers respond only when the session polls again
	}
}

// postTimeout is how long a client waits for the response to a POST before it plays its
// next step.
const postTimeout = 500 * time.Millisecond

// request sends an Engine.IO request. A status other than 200 is a refusal.
func (s *session) request(method string, more tape.Headers, body string) (*tape.Exchange, error) {
	req, err := http.NewRequestWithContext(s.ctx, method, s.withID(s.base), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header, req.Host = s.headers.Clone(), s.host
	for name, v := range more {
		req.Header[name] = v
	}
	res, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	answer = tape.Plain(answer, res.Header.Get("Content-Encoding"))
	if res.StatusCode != http.StatusOK {
		return nil, refusal(fmt.Sprintf("the server answered %d %q", res.StatusCode, answer))
	}
	return &tape.Exchange{Response: string(answer), ResponseHeaders: tape.Headers(res.Header)}, nil
}

// receiveLine handles what the server did as every client does: it answers a ping that is
// not compared, so that the session lives, and prepares for an upgrade.
func (s *session) receiveLine(l tape.Line) {
	l.Session = s.name
	s.observe(l)
	s.receive(&arrival{Line: l, refused: l.Close && l.Over == tape.Polling && s.isDraining()})
	if l.Packet != nil && !l.Binary && !s.plan.raw && *l.Packet == "2" && !s.plan.heartbeat {
		if l.Over == tape.Polling {
			s.running.Go(func() { _, _ = s.request(http.MethodPost, plainText, "3") })
		} else {
			_ = s.write("3", false)
		}
	}
}

func (s *session) observe(l tape.Line) {
	if l.Packet == nil || l.Binary || s.plan.raw {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.Over == tape.Polling && s.plan.counts(*l.Packet) {
		s.polled++
	}
	switch text := *l.Packet; {
	case text == "3probe" && l.Over == tape.WebSocket && s.plan.upgrades > 0:
		s.probed, s.paused = true, true
	case strings.HasPrefix(text, "0") && s.sid == "":
		var open struct{ Sid string }
		if json.Unmarshal([]byte(text[1:]), &open) == nil {
			s.sid = open.Sid
		}
	}
}

func (s *session) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining && s.plan.pollsOnly
}

// leave closes a transport.
func (s *session) leave(transport string) {
	if transport == tape.Polling {
		s.stopPolling()
		s.cancel()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ws != nil {
		bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		_ = s.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second))
		_ = s.ws.Close()
		s.ws = nil
	}
}

// abort ends a session without a close frame.
func (s *session) abort() {
	s.stopPolling()
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ws != nil {
		_ = s.ws.Close()
	}
}

func (s *session) stopPolling() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.wake()
}

func (s *session) id() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sid
}

// requestURL returns the recorded URL of a session's requests over a transport, without an
// id.
func (s *session) requestURL(recorded, transport string) string {
	path, query, _ := strings.Cut(recorded, "?")
	if path == "" {
		path, query = "/socket.io/", "EIO=4"
	}
	if s.Path != "" {
		path = s.Path
	}
	q := url.Values{}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, _ = url.QueryUnescape(name)
		value, _ = url.QueryUnescape(value)
		if name != "" && name != "sid" && name != "t" {
			q.Add(name, s.values.substitute(value, func(v string) string { return v }))
		}
	}
	q.Set("transport", transport)
	return s.url(path, false) + "?" + q.Encode()
}

// withID adds the current id of the session.
func (s *session) withID(u string) string {
	if sid := s.id(); sid != "" {
		return u + "&sid=" + url.QueryEscape(sid)
	}
	return u
}
