package tape

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The parts of a HAR file that matter here. _webSocketMessages are an extension
// of Chromium's, which Firefox has too.
// http://www.softwareishard.com/blog/har-12-spec/
type har struct {
	Log harLog `json:"log"`
}

type harLog struct {
	Version string     `json:"version"`
	Creator harCreator `json:"creator"`
	Comment string     `json:"comment,omitempty"`
	Entries []harEntry `json:"entries"`
}

type harCreator struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

type harEntry struct {
	Started  time.Time    `json:"startedDateTime"`
	Time     float64      `json:"time"` // milliseconds
	Request  harRequest   `json:"request"`
	Response harResponse  `json:"response"`
	Cache    struct{}     `json:"cache"`
	Timings  harTimings   `json:"timings"`
	Type     string       `json:"_resourceType,omitempty"`
	Messages []harMessage `json:"_webSocketMessages,omitempty"`
}

type harTimings struct {
	Send    float64 `json:"send"`
	Wait    float64 `json:"wait"`
	Receive float64 `json:"receive"`
}

type harRequest struct {
	Method      string    `json:"method"`
	URL         string    `json:"url"`
	HTTPVersion string    `json:"httpVersion"`
	Cookies     []harPair `json:"cookies"`
	Headers     []harPair `json:"headers"`
	QueryString []harPair `json:"queryString"`
	PostData    *harPost  `json:"postData,omitempty"`
	HeadersSize int       `json:"headersSize"`
	BodySize    int       `json:"bodySize"`
}

type harResponse struct {
	Status      int        `json:"status"`
	StatusText  string     `json:"statusText"`
	HTTPVersion string     `json:"httpVersion"`
	Cookies     []harPair  `json:"cookies"`
	Headers     []harPair  `json:"headers"`
	Content     harContent `json:"content"`
	RedirectURL string     `json:"redirectURL"`
	HeadersSize int        `json:"headersSize"`
	BodySize    int        `json:"bodySize"`
}

type harPair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type harPost struct {
	MimeType string `json:"mimeType"`
	Text     string `json:"text"`
}

type harContent struct {
	Size     int    `json:"size"`
	MimeType string `json:"mimeType"`
	Text     string `json:"text,omitempty"`
	Encoding string `json:"encoding,omitempty"`
}

type harMessage struct {
	Type   string  `json:"type"` // send or receive
	Time   float64 `json:"time"` // seconds since 1970
	Opcode int     `json:"opcode"`
	Data   string  `json:"data"`
}

const separator = "\x1e"

// A harWriter makes HAR entries of a recording.
type harWriter struct {
	start   time.Time
	base    string // of URLs
	entries []*harEntry
	socket  map[string]*harEntry // by session
	opened  map[string]Line
	ids     map[string]string
}

// WriteHAR writes a recording as HAR. Polls and posts become requests, as they
// were; of a session's headers, those of its first request stand in each.
func WriteHAR(to io.Writer, r *Recording) error {
	start, err := time.Parse(time.DateOnly, r.Recorded)
	if err != nil {
		start = time.Unix(0, 0).UTC()
	}
	w := &harWriter{start: start, base: r.Target, socket: map[string]*harEntry{}, opened: map[string]Line{}, ids: map[string]string{}}
	if w.base == "" {
		w.base = "http://localhost"
	}
	for i := 0; i < len(r.Lines); {
		n := 1
		for first := r.Lines[i]; i+n < len(r.Lines) && first.Over == Polling && first.Packet != nil; n++ {
			if l := r.Lines[i+n]; l.At != first.At || l.Session != first.Session || l.From != first.From || l.Packet == nil || l.Over != Polling {
				break
			}
		}
		w.lines(r.Lines[i : i+n])
		i += n
	}
	h := har{harLog{Version: "1.2", Creator: harCreator{"siotape", "2"}, Comment: r.About}}
	for _, e := range w.entries {
		h.Log.Entries = append(h.Log.Entries, *e)
	}
	enc := json.NewEncoder(to)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	return enc.Encode(h)
}

func (w *harWriter) at(seconds float64) time.Time {
	return w.start.Add(time.Duration(seconds * float64(time.Second)))
}

func (w *harWriter) lines(lines []Line) {
	l := lines[0]
	var payload []string
	for _, l := range lines {
		if l.Packet != nil {
			payload = append(payload, *l.Packet)
		}
	}
	body := strings.Join(payload, separator)
	switch {
	case l.HTTP != nil:
		w.add(l.At, *l.HTTP)
	case l.Open && l.Over == WebSocket:
		e := w.add(l.At, Exchange{Method: "GET", URL: w.sessionURL(l.Session, l.URL, WebSocket), Headers: l.Headers, Status: 101})
		e.Request.URL = strings.Replace(e.Request.URL, "http", "ws", 1)
		e.Type = "websocket"
		w.socket[l.Session] = e
	case l.Open:
		w.opened[l.Session] = l
	case l.Close || l.NotUnderstood != "":
	case l.Over == WebSocket && w.socket[l.Session] != nil:
		m := harMessage{Type: "receive", Time: float64(w.at(l.At).UnixMicro()) / 1e6, Opcode: 1, Data: *l.Packet}
		if l.From == Client {
			m.Type = "send"
		}
		if l.Binary {
			m.Opcode = 2
		}
		e := w.socket[l.Session]
		e.Messages = append(e.Messages, m)
	case l.From == Client:
		w.add(l.At, Exchange{Method: "POST", URL: w.sessionURL(l.Session, w.opened[l.Session].URL, Polling), Headers: w.opened[l.Session].Headers,
			Body: body, Status: 200, ContentType: "text/html", Response: "ok"})
	default:
		u := w.sessionURL(l.Session, w.opened[l.Session].URL, Polling)
		var open struct{ Sid string }
		if text, ok := strings.CutPrefix(payload[0], "0"); ok && json.Unmarshal([]byte(text), &open) == nil {
			w.ids[l.Session] = open.Sid
		}
		w.add(l.At, Exchange{Method: "GET", URL: u, Headers: w.opened[l.Session].Headers, Status: 200, ContentType: "text/plain; charset=UTF-8",
			Response: body, ResponseHeaders: l.Headers})
	}
}

func (w *harWriter) sessionURL(session, recorded, transport string) string {
	if recorded == "" {
		recorded = "/socket.io/?EIO=4&transport=" + transport
	}
	if id := w.ids[session]; id != "" {
		recorded += "&sid=" + id
	}
	return recorded
}

func (w *harWriter) add(at float64, x Exchange) *harEntry {
	e := &harEntry{
		Started: w.at(at), Time: x.Took * 1000, Timings: harTimings{Wait: x.Took * 1000},
		Request: harRequest{Method: x.Method, URL: w.base + x.URL, HTTPVersion: "HTTP/1.1", Headers: pairs(x.Headers), Cookies: []harPair{},
			QueryString: []harPair{}, HeadersSize: -1, BodySize: len(x.Body)},
		Response: harResponse{Status: x.Status, HTTPVersion: "HTTP/1.1", Headers: pairs(x.ResponseHeaders), Cookies: []harPair{},
			RedirectURL: x.ResponseHeaders.Get("Location"), HeadersSize: -1, BodySize: len(x.Response),
			Content: harContent{Size: len(x.Response), MimeType: x.ContentType, Text: x.Response}},
	}
	if x.ContentType != "" {
		e.Response.Headers = append(e.Response.Headers, harPair{"Content-Type", x.ContentType})
	}
	if _, query, ok := strings.Cut(x.URL, "?"); ok {
		if q, err := url.ParseQuery(query); err == nil {
			e.Request.QueryString = pairs(Headers(q))
		}
	}
	if x.Body != "" {
		e.Request.PostData = &harPost{MimeType: x.Headers.Get("Content-Type"), Text: x.Body}
	}
	if !utf8.ValidString(x.Response) {
		e.Response.Content.Text, e.Response.Content.Encoding = base64.StdEncoding.EncodeToString([]byte(x.Response)), "base64"
	}
	w.entries = append(w.entries, e)
	return e
}

func pairs(h Headers) []harPair {
	all := []harPair{}
	for _, name := range h.Names() {
		for _, v := range h[name] {
			all = append(all, harPair{name, v})
		}
	}
	return all
}

// ReadHARFile reads a HAR file as a recording: what the browser's requests to
// the first host in it were.
func ReadHARFile(name string) (*Recording, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var h har
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(h.Log.Entries) == 0 {
		return nil, fmt.Errorf("%s: there are no entries in it", name)
	}
	r, err := fromHAR(h.Log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r.Name = strings.TrimSuffix(filepath.Base(name), ".har")
	for i := range r.Lines {
		r.Lines[i].Number = i + 2 // as in the file that show -jsonl writes
	}
	return r, nil
}

// A harReader makes lines of HAR entries.
type harReader struct {
	r       *Recording
	start   time.Time
	letters map[string]string // by session id
	next    int
}

func fromHAR(log harLog) (*Recording, error) {
	first, err := url.Parse(log.Entries[0].Request.URL)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(log.Entries, func(a, b harEntry) int { return a.Started.Compare(b.Started) })
	h := &harReader{letters: map[string]string{}, start: log.Entries[0].Started}
	h.r = &Recording{Header: Header{Version: Version, About: log.Comment, Recorded: h.start.Format(time.DateOnly), Target: "http://" + first.Host}}
	for _, e := range log.Entries {
		if u, err := url.Parse(e.Request.URL); err == nil && u.Host == first.Host {
			h.entry(e, u)
		}
	}
	if err := h.r.putInOrder(); err != nil {
		return nil, err
	}
	h.r.End = &End{Counts: h.r.count()}
	return h.r, nil
}

func (h *harReader) seconds(t time.Time) float64 {
	return math.Round(t.Sub(h.start).Seconds()*1e6) / 1e6
}

func (h *harReader) letter(id string) string {
	if l, ok := h.letters[id]; ok && id != "" {
		return l
	}
	l := string(rune('A' + h.next%26))
	if h.next >= 26 {
		l = string(rune('A'+h.next/26-1)) + l
	}
	h.next++
	h.letters[id] = l
	return l
}

func (h *harReader) entry(e harEntry, u *url.URL) {
	q := u.Query()
	asked, took := h.seconds(e.Started), e.Time/1000
	uri := u.RequestURI()
	headers := headersOf(e.Request.Headers, "")
	engineIO := q.Get("EIO") == "4" && q.Get("transport") != ""
	body := ""
	if e.Request.PostData != nil {
		body = e.Request.PostData.Text
	}
	response := e.Response.Content.Text
	if e.Response.Content.Encoding == "base64" {
		if data, err := base64.StdEncoding.DecodeString(response); err == nil {
			response = string(data)
		}
	}
	sid := q.Get("sid")
	switch {
	case len(e.Messages) > 0 || e.Response.Status == 101:
		h.socket(e, asked, uri, sid, headers, engineIO)
	case engineIO && e.Response.Status == 200 && e.Request.Method == "GET":
		if sid == "" {
			sid = idOf(response)
			h.put(Line{At: asked, Session: h.letter(sid), From: Client, Over: Polling, Open: true, URL: without(uri), Headers: headers})
		}
		for packet := range strings.SplitSeq(response, separator) {
			h.put(Line{At: asked + took, Session: h.letter(sid), From: Server, Over: Polling, Packet: &packet})
		}
	case engineIO && e.Response.Status == 200 && e.Request.Method == "POST":
		for packet := range strings.SplitSeq(body, separator) {
			h.put(Line{At: asked, Session: h.letter(sid), From: Client, Over: Polling, Packet: &packet})
		}
	default:
		h.put(Line{At: asked, HTTP: &Exchange{Method: e.Request.Method, URL: uri, Headers: headers, Body: body, Status: e.Response.Status,
			ContentType: cmp.Or(headersOf(e.Response.Headers, "").Get("Content-Type"), e.Response.Content.MimeType), Response: response, ResponseHeaders: headersOf(e.Response.Headers, "Content-Type"), Took: took,
			Incomplete: e.Response.Status == 0}})
	}
}

func (h *harReader) put(l Line) { h.r.Lines = append(h.r.Lines, l) }

func (h *harReader) socket(e harEntry, asked float64, uri, sid string, headers Headers, engineIO bool) {
	if sid == "" && len(e.Messages) > 0 {
		sid = idOf(e.Messages[0].Data)
	}
	letter := h.letter(sid)
	h.put(Line{At: asked, Session: letter, From: Client, Over: WebSocket, Open: true, Raw: !engineIO, URL: without(uri), Headers: headers})
	last := asked
	for _, m := range e.Messages {
		at := math.Round((m.Time-float64(h.start.UnixMicro())/1e6)*1e6) / 1e6
		last = max(at, last)
		l := Line{At: last, Session: letter, From: Server, Over: WebSocket, Packet: &m.Data, Binary: m.Opcode == 2}
		if m.Type == "send" {
			l.From = Client
		}
		h.put(l)
	}
}

// idOf is the session id in a handshake packet, or "".
func idOf(text string) string {
	first, _, _ := strings.Cut(text, separator)
	var open struct{ Sid string }
	if rest, ok := strings.CutPrefix(first, "0"); ok {
		_ = json.Unmarshal([]byte(rest), &open)
	}
	return open.Sid
}

// without leaves out of a URL what is new in each request.
func without(uri string) string {
	path, query, ok := strings.Cut(uri, "?")
	if !ok {
		return uri
	}
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		return strings.HasPrefix(pair, "t=") || strings.HasPrefix(pair, "sid=")
	})
	return path + "?" + strings.Join(kept, "&")
}

// headersOf are the headers that a recording keeps, but for one.
func headersOf(all []harPair, but string) Headers {
	h := Headers{}
	for _, p := range all {
		name := canonical(p.Name)
		if strings.HasPrefix(p.Name, ":") || name == but || slices.Contains(Never, name) && name != "Host" ||
			strings.HasPrefix(name, "Sec-Websocket-") {
			continue
		}
		for v := range strings.SplitSeq(p.Value, "\n") { // Set-Cookie
			h[name] = append(h[name], v)
		}
	}
	return h
}

func canonical(name string) string {
	parts := strings.Split(strings.ToLower(name), "-")
	for i, p := range parts {
		if p != "" {
			parts[i] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "-")
}
