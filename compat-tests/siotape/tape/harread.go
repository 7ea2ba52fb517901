package tape

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ReadHARFile reads a HAR file as a recording of the browser's requests to the first host
// in it.
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

// A harReader converts HAR entries to lines.
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

// idOf returns the session id in a handshake packet, or "".
func idOf(text string) string {
	first, _, _ := strings.Cut(text, separator)
	var open struct{ Sid string }
	if rest, ok := strings.CutPrefix(first, "0"); ok {
		_ = json.Unmarshal([]byte(rest), &open)
	}
	return open.Sid
}

// without removes the parameters from a URL that differ in each request.
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

// headersOf returns the headers that are recorded, except one.
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
