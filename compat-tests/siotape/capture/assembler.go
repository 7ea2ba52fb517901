package capture

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"counting/compat-tests/siotape/packet"
	"counting/compat-tests/siotape/tape"
)

// An assembler turns the recorded traffic into lines, and writes each as soon as it is
// complete.
type assembler struct {
	proxy *Proxy
	out   *tape.Writer

	mu       sync.Mutex // guards what follows
	counts   tape.Counts
	sessions map[string]*session // by the id that the server gave
	letters  int
	foreign  map[string]bool // ids of sessions that are not understood
	open     map[*exchange]bool
	pieces   int
	paths    map[string]bool // at which sessions were opened
}

// A session is one Engine.IO session, or a WebSocket that is not one.
type session struct {
	letter string
	over   bool
	left   time.Duration // when the server accepted the client's 1
}

func newAssembler(p *Proxy, w *tape.Writer) *assembler {
	return &assembler{proxy: p, out: w, sessions: map[string]*session{}, foreign: map[string]bool{},
		open: map[*exchange]bool{}, paths: map[string]bool{}}
}

func (a *assembler) total() tape.Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts
}

func (a *assembler) misplaced() (elsewhere []string, there bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for path := range a.paths {
		if path == a.proxy.Path {
			there = true
		} else {
			elsewhere = append(elsewhere, path)
		}
	}
	slices.Sort(elsewhere)
	return elsewhere, there
}

func seconds(at time.Duration) float64 { return float64(at.Microseconds()) / 1e6 }

// put writes a line. The caller may hold the lock, or not.
func (a *assembler) put(at time.Duration, l tape.Line) {
	l.At = seconds(at)
	if a.proxy.Redact != nil {
		a.proxy.Redact.line(&l)
	}
	a.out.Put(l)
}

func (a *assembler) notUnderstood(at time.Duration, what string) {
	a.mu.Lock()
	a.counts.NotUnderstood++
	a.mu.Unlock()
	a.put(at, tape.Line{NotUnderstood: what})
}

// begin gives a session its letter.
func (a *assembler) begin(sid, path string) *session {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &session{letter: letter(a.letters)}
	a.letters++
	a.counts.Sessions++
	if sid != "" {
		a.sessions[sid] = s
		a.paths[path] = true
	}
	return s
}

// find returns the session that a request belongs to, or nil. If necessary, it waits
// until earlier traffic has been read.
func (a *assembler) find(x *exchange) *session {
	sid := x.query.Get("sid")
	look := func() *session {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.sessions[sid]
	}
	if s := look(); s != nil || sid == "" {
		return s
	}
	a.proxy.awaitOthers(x.asked, x.call)
	return look()
}

func (a *assembler) isForeign(sid string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.foreign[sid]
}

// isEngineIO reports whether a request is one of Engine.IO's.
func (x *exchange) isEngineIO() bool {
	transport := x.query.Get("transport")
	return x.query.Has("EIO") && (transport == tape.Polling || transport == tape.WebSocket)
}

// handshakeID returns the session id in a handshake packet, or "".
func handshakeID(text string) string {
	first, _, _ := strings.Cut(text, packet.Separator)
	if !strings.HasPrefix(first, "0{") {
		return ""
	}
	var handshake struct{ Sid string }
	_ = json.Unmarshal([]byte(first[1:]), &handshake)
	return handshake.Sid
}

// add records a complete exchange.
func (a *assembler) add(x *exchange) {
	ok := x.res.StatusCode == http.StatusOK
	if !x.isEngineIO() {
		a.http(x)
		return
	}
	sid := x.query.Get("sid")
	switch {
	case ok && (x.query.Get("EIO") != "4" || x.query.Has("j")) || a.isForeign(sid):
		a.foreigner(x)
		return
	case ok && sid == "" && x.req.Method == http.MethodGet:
		if id := handshakeID(x.text()); id != "" {
			a.opened(x, id)
			return
		}
	}
	s := a.find(x)
	switch {
	case s == nil && ok && sid != "":
		a.foreigner(x)
	case s == nil:
		a.http(x)
	case x.req.Method == http.MethodGet && ok:
		a.answer(x, s)
	case x.req.Method == http.MethodGet && !x.upgrades():
		a.pollRefused(x, s)
	case x.req.Method == http.MethodPost && ok:
		a.post(x, s)
	default:
		a.http(x)
	}
}

// foreigner reports a session that is not understood, once.
func (a *assembler) foreigner(x *exchange) {
	sid := x.query.Get("sid")
	if i := strings.Index(x.text(), `0{"sid":"`); sid == "" && i >= 0 {
		sid = handshakeID(x.text()[i:])
	}
	a.mu.Lock()
	known := a.foreign[sid]
	a.foreign[sid] = true
	a.mu.Unlock()
	if known && sid != "" {
		return
	}
	what := "a session that was opened before the recording began"
	switch {
	case x.query.Has("j"):
		what = "a session by JSONP"
	case x.query.Get("EIO") != "4":
		what = "a session of Engine.IO " + x.query.Get("EIO") + "; only 4 is"
	}
	a.notUnderstood(x.asked, what+": "+x.req.Method+" "+x.req.RequestURI)
}

// opened records a handshake by polling.
func (a *assembler) opened(x *exchange, sid string) {
	s := a.begin(sid, x.req.URL.Path)
	a.put(x.asked, tape.Line{Session: s.letter, From: tape.Client, Over: tape.Polling, Open: true,
		URL: x.uri(), Headers: sentHeaders(x.req, false)})
	a.answer(x, s)
}

// uri returns the request's URL without the parameters that differ in each request.
func (x *exchange) uri() string {
	path, query, ok := strings.Cut(x.req.RequestURI, "?")
	if !ok {
		return path
	}
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		return strings.HasPrefix(pair, "t=") || strings.HasPrefix(pair, "sid=")
	})
	return path + "?" + strings.Join(kept, "&")
}

func (a *assembler) answer(x *exchange, s *session) {
	headers := gotHeaders(x.res)
	delete(headers, "Content-Type") // Engine.IO's own
	for i, text := range strings.Split(x.text(), packet.Separator) {
		l := tape.Line{Session: s.letter, From: tape.Server, Over: tape.Polling, Packet: &text}
		if i == 0 && strings.HasPrefix(text, "0") {
			l.Headers = headers
		}
		a.packet(x.answered, s, l)
	}
}

func (a *assembler) post(x *exchange, s *session) {
	var headers tape.Headers
	if ct := x.req.Header.Get("Content-Type"); ct != "" && !strings.EqualFold(ct, "text/plain;charset=UTF-8") {
		headers = tape.Headers{"Content-Type": {ct}}
	}
	for _, text := range strings.Split(x.body, packet.Separator) {
		if text == "1" {
			a.mu.Lock()
			s.left = max(x.answered, x.asked)
			a.mu.Unlock()
		}
		a.packet(x.asked, s, tape.Line{Session: s.letter, From: tape.Client, Over: tape.Polling, Packet: &text, Headers: headers})
		headers = nil
	}
}

// packet writes a packet, and updates its session.
func (a *assembler) packet(at time.Duration, s *session, l tape.Line) {
	a.mu.Lock()
	if *l.Packet != "" {
		a.counts.Packets++
	}
	if l.From == tape.Client && *l.Packet == "1" {
		s.over = true
	}
	a.mu.Unlock()
	a.put(at, l)
}

// pollRefused records a poll that was refused: the server has closed the session, unless
// it had already ended. A poll that was pending when its client left belongs to the
// session: its answer is random.
func (a *assembler) pollRefused(x *exchange, s *session) {
	a.proxy.awaitOthers(x.answered, x.call)
	a.mu.Lock()
	over := s.over && (s.left == 0 || x.asked > s.left)
	s.over = true
	a.mu.Unlock()
	if over {
		a.http(x)
		return
	}
	a.put(x.answered, tape.Line{Session: s.letter, From: tape.Server, Over: tape.Polling, Close: true})
}

// unanswered records a request whose client, or the recording, ended before the answer.
func (a *assembler) unanswered(x *exchange) {
	s := (*session)(nil)
	if x.isEngineIO() {
		s = a.find(x)
	}
	hungUp := x.call.up.hangUp()
	switch {
	case s != nil && x.req.Method == http.MethodPost:
		a.post(x, s)
	case s != nil && hungUp != nil && !x.upgrades():
		a.put(*hungUp, tape.Line{Session: s.letter, From: tape.Client, Over: tape.Polling, GaveUp: true})
	case s != nil || x.isEngineIO():
		// A poll that waits when the recording ends.
	default:
		a.http(x)
	}
}

// http records an exchange that belongs to no session.
func (a *assembler) http(x *exchange) {
	x.mu.Lock()
	if x.id > 0 {
		x.mu.Unlock()
		a.writePiece(x)
		return
	}
	complete := x.complete
	x.mu.Unlock()
	a.mu.Lock()
	a.counts.Exchanges++
	a.mu.Unlock()
	l := a.exchangeLine(x)
	l.HTTP.Response, l.HTTP.Incomplete = x.text(), !complete
	a.put(x.asked, l)
}

func (a *assembler) exchangeLine(x *exchange) tape.Line {
	e := &tape.Exchange{Method: x.req.Method, URL: x.req.RequestURI, Body: x.body, Headers: sentHeaders(x.req, true)}
	if x.isEngineIO() {
		e.URL = a.nameIDs(e.URL)
	}
	if x.res != nil {
		e.Status, e.ContentType, e.ResponseHeaders = x.res.StatusCode, x.res.Header.Get("Content-Type"), gotHeaders(x.res)
		delete(e.ResponseHeaders, "Content-Type")
		e.Took = seconds(x.answered - x.asked)
	}
	return tape.Line{HTTP: e}
}

// unsent are request headers of the connection, which are not recorded. Those of a
// WebSocket are recorded if it was refused.
var unsent = []string{"Content-Length", "Keep-Alive", "Transfer-Encoding", "Trailer", "Sec-Websocket-Extensions"}

func sentHeaders(req *http.Request, plain bool) tape.Headers {
	h := tape.Headers{}
	upgrade := req.Header.Get("Upgrade") != ""
	for name, values := range req.Header {
		ofUpgrade := name == "Connection" || name == "Upgrade" || name == "Sec-Websocket-Key" || name == "Sec-Websocket-Version"
		if slices.Contains(unsent, name) || ofUpgrade && !(plain && upgrade) {
			continue
		}
		h[name] = values
	}
	if req.Host != "" {
		h["Host"] = []string{req.Host}
	}
	return h
}

func gotHeaders(res *http.Response) tape.Headers {
	h := tape.Headers{}
	for name, values := range res.Header {
		if !slices.Contains(tape.Never, name) {
			h[name] = values
		}
	}
	return h
}

// nameIDs replaces the session id in an Engine.IO URL by the session's letter, or by
// UNKNOWN.
func (a *assembler) nameIDs(u string) string {
	path, query, _ := strings.Cut(u, "?")
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		if sid, ok := strings.CutPrefix(pair, "sid="); ok {
			id, err := url.QueryUnescape(sid)
			a.mu.Lock()
			s := a.sessions[id]
			a.mu.Unlock()
			if err != nil || s == nil {
				pairs[i] = "sid=UNKNOWN"
			} else {
				pairs[i] = "sid=$" + s.letter
			}
		}
	}
	if query == "" {
		return path
	}
	return path + "?" + strings.Join(pairs, "&")
}

// letter returns the name of the n-th session: A to Z, then AA, AB, ….
func letter(n int) string {
	if n < 26 {
		return string(rune('A' + n))
	}
	return letter(n/26-1) + letter(n%26)
}
