package replay

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"counting/compat-tests/recording"
)

// separator stands between the packets of a polling payload.
const separator = "\x1e"

// A refusal is the answer of a server that did not take what a client did.
type refusal string

func (r refusal) Error() string { return string(r) }

// A session is one Engine.IO client, told by the recording what to send.
type session struct {
	*player
	plan   plan
	came   queue
	ctx    context.Context // of its requests
	cancel context.CancelFunc

	running sync.WaitGroup
	polling chan struct{} // closed when the polling is over; nil before it

	mu      sync.Mutex // guards what follows, and writing to ws
	sid     string
	ws      *websocket.Conn
	stopped bool // no new poll is to begin
}

// A plan is what a session has to know of the recording beforehand.
type plan struct {
	heartbeat bool // pings are recorded: their answers are too
	upgrades  bool // it leaves polling for a WebSocket
	polled    int  // how many packets the recorded client got by polling
}

func planned(r *recording.Recording) map[string]plan {
	plans := map[string]plan{}
	for _, l := range r.Lines {
		if l.HTTP != nil {
			continue
		}
		p := plans[l.Session]
		p.heartbeat = p.heartbeat || r.Heartbeat(l.Session)
		p.upgrades = p.upgrades || l.Open && l.Over == recording.WebSocket
		if l.From == recording.Server && l.Over == recording.Polling {
			p.polled++
		}
		plans[l.Session] = p
	}
	return plans
}

func newSession(p *player, name string) *session {
	s := &session{player: p, plan: p.plan[name], came: queue{ready: make(chan struct{}, 1)}}
	s.ctx, s.cancel = context.WithCancel(p.ctx)
	return s
}

// play does what one line says, or sends the packets of one POST.
func (s *session) play(lines []recording.Line) error {
	l := lines[0]
	switch {
	case l.Open && l.Over == recording.Polling:
		return s.openPolling()
	case l.Open:
		return s.openWebSocket()
	case l.Close:
		s.leave(l.Over)
		return nil
	case l.Over == recording.Polling:
		packets := []string{}
		for _, l := range lines {
			packets = append(packets, *l.Packet)
		}
		return s.post(packets...)
	case *l.Packet == "5":
		s.waitForLastPoll()
	}
	return s.write(*l.Packet, l.Binary)
}

// waitForLastPoll holds the end of an upgrade back until the poll that the
// server was asked to end has ended, as every client does.
func (s *session) waitForLastPoll() {
	if s.polling == nil {
		return
	}
	select {
	case <-s.polling:
	case <-time.After(time.Second): // the server does not end it: go on as recorded
	}
}

func (s *session) openPolling() error {
	packets, err := s.get()
	if err != nil {
		return err
	}
	for _, packet := range packets {
		s.hear(recording.Line{Over: recording.Polling, Packet: &packet})
	}
	s.polling = make(chan struct{})
	s.running.Go(func() {
		defer close(s.polling)
		s.poll(len(packets))
	})
	return nil
}

// poll keeps a request waiting for packets. A client that is to upgrade polls
// no more than the recorded one did: some go to WebSocket with a poll pending,
// some without.
func (s *session) poll(polled int) {
	for !s.isStopped() && (!s.plan.upgrades || polled < s.plan.polled) {
		packets, err := s.get()
		if s.ctx.Err() != nil {
			return
		}
		if err != nil {
			s.hear(recording.Line{Over: recording.Polling, Close: true})
			return
		}
		for _, packet := range packets {
			s.hear(recording.Line{Over: recording.Polling, Packet: &packet})
		}
		polled += len(packets)
	}
}

func (s *session) get() ([]string, error) {
	body, err := s.request(http.MethodGet, "")
	return strings.Split(body, separator), err
}

func (s *session) post(packets ...string) error {
	if packets[0] == "1" {
		s.stopPolling()
	}
	_, err := s.request(http.MethodPost, strings.Join(packets, separator))
	return err
}

func (s *session) request(method, body string) (string, error) {
	req, err := http.NewRequestWithContext(s.ctx, method, s.url(recording.Polling), strings.NewReader(body))
	if err != nil {
		return "", err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	res, err := s.http.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", refusal(fmt.Sprintf("the server answered %d %q", res.StatusCode, answer))
	}
	return string(answer), nil
}

func (s *session) openWebSocket() error {
	s.stopPolling()
	ws, res, err := websocket.DefaultDialer.DialContext(s.ctx, s.url(recording.WebSocket), nil)
	if errors.Is(err, websocket.ErrBadHandshake) {
		answer, _ := io.ReadAll(res.Body)
		return refusal(fmt.Sprintf("the server answered %d %q", res.StatusCode, answer))
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.ws = ws
	s.mu.Unlock()
	s.running.Go(func() { s.read(ws) })
	return nil
}

func (s *session) read(ws *websocket.Conn) {
	for {
		kind, data, err := ws.ReadMessage()
		if err != nil {
			s.hear(recording.Line{Over: recording.WebSocket, Close: true})
			return
		}
		packet, binary := string(data), kind == websocket.BinaryMessage
		if binary {
			packet = base64.StdEncoding.EncodeToString(data)
		}
		s.hear(recording.Line{Over: recording.WebSocket, Packet: &packet, Binary: binary})
	}
}

func (s *session) write(packet string, binary bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ws == nil {
		return fmt.Errorf("no WebSocket is open for %s", packet)
	}
	kind, data := websocket.TextMessage, []byte(packet)
	if binary {
		var err error
		if data, err = base64.StdEncoding.DecodeString(packet); err != nil {
			return err
		}
		kind = websocket.BinaryMessage
	}
	if err := s.ws.WriteMessage(kind, data); err != nil {
		return refusal(fmt.Sprintf("the connection is gone: %v", err))
	}
	return nil
}

// hear takes down what the server did, and answers a ping that was not
// recorded, so that the session lives.
func (s *session) hear(l recording.Line) {
	l.From = recording.Server
	s.came.put(l)
	select {
	case s.heard <- struct{}{}:
	default:
	}
	if l.Packet == nil {
		return
	}
	switch packet := *l.Packet; {
	case packet == "2" && !s.plan.heartbeat && l.Over == recording.Polling:
		s.running.Go(func() { _ = s.post("3") })
	case packet == "2" && !s.plan.heartbeat:
		_ = s.write("3", false)
	case strings.HasPrefix(packet, "0"):
		var open struct{ Sid string }
		if json.Unmarshal([]byte(packet[1:]), &open) == nil {
			s.mu.Lock()
			s.sid = open.Sid
			s.mu.Unlock()
		}
	}
}

// leave closes the transport from the client's side.
func (s *session) leave(transport string) {
	s.stopPolling()
	if transport == recording.Polling {
		s.cancel()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ws != nil {
		bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		_ = s.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second))
		_ = s.ws.Close()
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
	defer s.mu.Unlock()
	s.stopped = true
}

func (s *session) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

func (s *session) id() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sid
}

func (s *session) url(transport string) string {
	u := *s.target
	u.Path += "/socket.io/"
	q := url.Values{"EIO": {"4"}, "transport": {transport}}
	if sid := s.id(); sid != "" {
		q.Set("sid", sid)
	}
	u.RawQuery = q.Encode()
	if transport == recording.WebSocket {
		u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1)
	}
	return u.String()
}
