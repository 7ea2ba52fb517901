package tape

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// The parts of a HAR file that are used. _webSocketMessages is an extension of Chromium
// and Firefox.
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

// A harWriter converts a recording to HAR entries.
type harWriter struct {
	start   time.Time
	base    string // of URLs
	entries []*harEntry
	socket  map[string]*harEntry // by session
	opened  map[string]Line
	ids     map[string]string
}

// WriteHAR writes a recording as HAR. Polls and posts become requests, with the headers of
// the session's first request.
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
