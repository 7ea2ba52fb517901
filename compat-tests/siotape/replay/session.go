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

// A refusal is the answer of a server that did not take what a client did.
type refusal string

func (r refusal) Error() string { return string(r) }

// A session is one Engine.IO client, or one other WebSocket, that sends what was
// recorded, broken packets included.
type session struct {
	*player
	name   string
	plan   *sessionPlan
	ctx    context.Context // of its requests
	cancel context.CancelFunc

	running sync.WaitGroup
	posting chan struct{} // closed when the last POST was answered
	changed chan struct{} // has something in it when polling may go on or end

	mu       sync.Mutex // guards what follows, and writing to ws
	base     string     // of its requests by polling, without an id
	headers  http.Header
	host     string
	sid      string
	ws       *websocket.Conn
	polled   int           // packets that the plan counts
	inPoll   chan struct{} // closed when the poll that waits has ended; nil if none does
	paused   bool          // an upgrade is about to be done
	probed   bool          // the server has answered the probe
	stopped  bool          // no poll is to begin any more
	draining bool
}

func newSession(p *player, name string) *session {
	s := &session{player: p, name: name, plan: p.engine.session(name), changed: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(p.ctx)
	return s
}

// play does what one step says.
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
			if !s.answersItself(l) {
				packets = append(packets, s.clientPacket(l, st.packets[k]))
			}
		}
		if len(packets) == 0 {
			return nil
		}
		return s.post(l.Headers, packets...)
	case s.answersItself(l):
		return nil
	case st.packets[0].Kind == packet.Upgrade && !s.plan.raw:
		s.beforeUpgrade()
		defer s.afterUpgrade()
	}
	return s.write(s.clientPacket(l, st.packets[0]), l.Binary)
}

// answersItself reports whether a line is the answer to a ping that is not
// compared: those that come now are answered as they come.
func (s *session) answersItself(l tape.Line) bool {
	return s.plan.pinged && !s.plan.heartbeat && !s.plan.raw && !l.Binary && *l.Packet == "3"
}

// beforeUpgrade holds the 5 back until the poll has ended that the server was
// asked to end, as every client does.
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
	case <-time.After(time.Second): // the server does not end it: go on as recorded
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
		s.hearLine(line)
	}
	s.running.Go(s.poll)
	return nil
}

// poll keeps a request waiting for packets, for as long as it may.
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
			s.hearLine(tape.Line{Over: tape.Polling, Close: true})
			return
		}
		for _, packet := range split(x.Response) {
			s.hearLine(tape.Line{Over: tape.Polling, Packet: &packet})
		}
		if x.Response == "6" { // for as long as an upgrade is under way, there may be nothing but this
			select {
			case <-time.After(10 * time.Millisecond):
			case <-s.ctx.Done():
			}
		}
	}
}

// awaitTurn waits until the next poll may begin. It returns false if there is
// to be none.
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

// plainText is what clients send with a POST, unless it was recorded otherwise.
var plainText = tape.Headers{"Content-Type": {"text/plain;charset=UTF-8"}}

func (s *session) post(headers tape.Headers, packets ...string) error {
	if packets[0] == "1" {
		s.stopPolling()
	}
	if headers.Get("Content-Type") == "" {
		headers = plainText
	}
	// One after the other, as every client does.
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
	case <-time.After(postPatience):
		return nil // some servers answer only when the session polls again
	}
}

// postPatience is how long a client that posted waits for the answer before it
// goes on with what was recorded next.
const postPatience = 500 * time.Millisecond

// request makes a request of Engine.IO's. An answer other than 200 is a refusal.
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

// hearLine takes down what the server did, and does what every client does: it
// answers a ping that is not compared, so that the session lives, and makes
// ready for an upgrade.
func (s *session) hearLine(l tape.Line) {
	l.Session = s.name
	s.observe(l)
	s.hear(&arrival{Line: l, refused: l.Close && l.Over == tape.Polling && s.isDraining()})
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

// leave closes the transport from the client's side.
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

// hangUp ends a session without ceremony.
func (s *session) hangUp() {
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

// requestURL is the URL of a session's requests over a transport: as recorded,
// but without an id.
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

// withID adds the id that the session has now.
func (s *session) withID(u string) string {
	if sid := s.id(); sid != "" {
		return u + "&sid=" + url.QueryEscape(sid)
	}
	return u
}
