package main

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"

	"counting/compat-tests/recording"
)

// separator stands between the packets of a polling payload.
const separator = "\x1e"

// A line is a line of the recording before its session has a letter.
type line struct {
	moment
	recording.Line
	sid string
	// tentative lines count only if the session goes on no more: a client that
	// gives up a poll has not always gone.
	tentative bool
}

// A script turns what passed into the lines of a recording.
type script struct {
	path    string // of Engine.IO
	lines   []line
	granted map[string]bool // the session ids that the server gave
}

// lines returns what passed on the calls, in order.
func (p *proxy) lines(path string) []recording.Line {
	s := &script{path: path, granted: map[string]bool{}}
	var all []*exchange
	for _, c := range p.calls {
		all = append(all, c.exchanges()...)
	}
	for _, x := range all {
		if sid := x.opened(); sid != "" {
			s.granted[sid] = true
		}
	}
	// In order, so that it is known which sessions live.
	slices.SortFunc(all, func(a, b *exchange) int { return cmp.Compare(a.asked.order, b.asked.order) })
	for _, x := range all {
		s.add(x)
	}
	slices.SortStableFunc(s.lines, func(a, b line) int { return cmp.Compare(a.order, b.order) })
	return s.named()
}

// opened is the session id that the server gave in this exchange, or "".
func (x *exchange) opened() string {
	first := x.answer
	if i := slices.IndexFunc(x.frames, func(f frameSeen) bool { return !f.fromClient && !f.close }); i >= 0 {
		first = string(x.frames[i].data)
	}
	first, _, _ = strings.Cut(first, separator)
	if x.res == nil || !strings.HasPrefix(first, "0{") {
		return ""
	}
	var handshake struct{ Sid string }
	_ = json.Unmarshal([]byte(first[1:]), &handshake)
	return handshake.Sid
}

func (s *script) add(x *exchange) {
	sid := x.query.Get("sid")
	switch {
	case !strings.HasPrefix(x.req.URL.Path, s.path):
		s.http(x)
	case x.res == nil || x.abandoned != nil && x.req.Method == http.MethodGet && s.granted[sid]:
		s.unanswered(x, sid)
	case x.res.StatusCode == http.StatusSwitchingProtocols:
		s.webSocket(x, cmp.Or(sid, x.opened()))
	case x.req.Method == http.MethodGet && x.opened() != "":
		sid = x.opened()
		s.client(x.asked, sid, recording.Line{Over: recording.Polling, Open: true})
		s.answer(x, sid)
	case !s.granted[sid]:
		s.http(x)
	case x.req.Method == http.MethodGet && x.res.StatusCode == http.StatusOK:
		s.answer(x, sid)
	case x.req.Method == http.MethodGet && !x.upgrades():
		s.pollRefused(x, sid)
	case x.req.Method == http.MethodPost && x.res.StatusCode == http.StatusOK:
		s.post(x, sid)
	default:
		s.http(x)
	}
}

// unanswered is a request whose client, or the recording, ended first.
func (s *script) unanswered(x *exchange, sid string) {
	switch {
	case !s.granted[sid]:
	case x.req.Method == http.MethodPost:
		s.post(x, sid)
	case x.abandoned != nil && !x.upgrades():
		s.client(*x.abandoned, sid, recording.Line{Over: recording.Polling, Close: true})
		s.lines[len(s.lines)-1].tentative = true
	}
}

func (s *script) webSocket(x *exchange, sid string) {
	s.client(x.asked, sid, recording.Line{Over: recording.WebSocket, Open: true})
	slices.SortStableFunc(x.frames, func(a, b frameSeen) int { return cmp.Compare(a.order, b.order) })
	for _, f := range x.frames {
		l := recording.Line{Over: recording.WebSocket, Close: f.close, Binary: f.binary}
		if text := string(f.data); f.binary {
			text = base64.StdEncoding.EncodeToString(f.data)
			l.Packet = &text
		} else if !f.close {
			l.Packet = &text
		}
		if f.fromClient {
			s.client(f.moment, sid, l)
		} else {
			s.server(f.moment, sid, l)
		}
		if f.close {
			return // who closes second only agrees
		}
	}
}

func (s *script) post(x *exchange, sid string) {
	for packet := range strings.SplitSeq(x.body, separator) {
		s.client(x.asked, sid, recording.Line{Over: recording.Polling, Packet: &packet})
	}
}

func (s *script) answer(x *exchange, sid string) {
	for packet := range strings.SplitSeq(x.answer, separator) {
		s.server(x.answered, sid, recording.Line{Over: recording.Polling, Packet: &packet})
	}
}

// pollRefused is how the server closes a polling session, unless the session
// was over already.
func (s *script) pollRefused(x *exchange, sid string) {
	for _, l := range s.lines {
		if l.sid == sid && l.order < x.answered.order && l.ends() {
			s.http(x)
			return
		}
	}
	s.server(x.answered, sid, recording.Line{Over: recording.Polling, Close: true})
}

// ends reports whether a session is over after the line.
func (l line) ends() bool {
	return l.Close && !l.tentative || l.From == recording.Client && l.Packet != nil && *l.Packet == "1"
}

func (x *exchange) upgrades() bool { return x.req.Header.Get("Upgrade") != "" }

// sent are the request headers that a recording keeps.
var sent = []string{
	"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers",
	"Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version",
}

func (s *script) http(x *exchange) {
	if x.res == nil {
		return
	}
	e := &recording.Exchange{
		Method: x.req.Method, URL: x.req.RequestURI, Body: x.body,
		Status: x.res.StatusCode, ContentType: x.res.Header.Get("Content-Type"), Response: x.answer,
	}
	for _, name := range sent {
		v := x.req.Header.Get(name)
		if v == "" || name == "Connection" && !x.upgrades() {
			continue
		}
		if e.Headers == nil {
			e.Headers = map[string]string{}
		}
		e.Headers[name] = v
	}
	if x.req.Header.Get("Origin") != "" {
		e.ResponseHeaders = map[string]string{}
		for name := range x.res.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				e.ResponseHeaders[name] = x.res.Header.Get(name)
			}
		}
	}
	// Where it was asked: what follows from it may come before its answer.
	s.lines = append(s.lines, line{moment: x.asked, Line: recording.Line{HTTP: e}})
}

func (s *script) client(at moment, sid string, l recording.Line) {
	l.From = recording.Client
	s.lines = append(s.lines, line{moment: at, Line: l, sid: sid})
}

func (s *script) server(at moment, sid string, l recording.Line) {
	l.From = recording.Server
	s.lines = append(s.lines, line{moment: at, Line: l, sid: sid})
}

// named gives the sessions their letters and leaves out what did not hold.
func (s *script) named() []recording.Line {
	letters := map[string]string{}
	last := map[string]int{}
	for i, l := range s.lines {
		if l.sid == "" && l.HTTP == nil {
			continue
		}
		if l.Open && letters[l.sid] == "" {
			letters[l.sid] = letter(len(letters))
		}
		last[l.sid] = i
	}
	over := map[string]bool{}
	named := []recording.Line{}
	for i, l := range s.lines {
		if l.tentative && (over[l.sid] || last[l.sid] != i) {
			continue
		}
		over[l.sid] = over[l.sid] || l.ends()
		l.At = math.Round(l.at.Seconds()*1000) / 1000
		l.Session = letters[l.sid]
		if l.HTTP != nil {
			l.Session = ""
			l.HTTP.URL = nameIDs(l.HTTP.URL, letters)
		}
		named = append(named, l.Line)
	}
	return named
}

// nameIDs puts letters, or UNKNOWN, in the place of session ids.
func nameIDs(u string, letters map[string]string) string {
	for sid, name := range letters {
		if sid != "" {
			u = strings.ReplaceAll(u, sid, "$"+name)
		}
	}
	before, sid, ok := strings.Cut(u, "sid=")
	if !ok || strings.HasPrefix(sid, "$") {
		return u
	}
	_, after, more := strings.Cut(sid, "&")
	if more {
		after = "&" + after
	}
	return before + "sid=UNKNOWN" + after
}

// letter names the nth session: A to Z, then AA, AB, ….
func letter(n int) string {
	if n < 26 {
		return string(rune('A' + n))
	}
	return letter(n/26-1) + letter(n%26)
}
