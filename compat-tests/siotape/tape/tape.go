// Package tape is the format of recordings. recordings/FORMAT.md describes it.
package tape

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Version is the version of the format that is written. Version 1 is read too.
const Version = 2

// Sides, for Line.From.
const (
	Client = "client"
	Server = "server"
)

// Transports, for Line.Over.
const (
	Polling   = "polling"
	WebSocket = "websocket"
)

// A Recording is one file.
type Recording struct {
	Header
	Lines []Line
	// End is nil if the recorder could not finish the file.
	End *End
}

// A Header is the first line of a file.
type Header struct {
	Version  int    `json:"recording"`
	Name     string `json:"name"`
	About    string `json:"about,omitempty"`
	Server   string `json:"server,omitempty"`
	Recorded string `json:"recorded,omitempty"`
	Target   string `json:"target,omitempty"`

	// Of version 1, where the header was written at the end.
	Numbers   []string            `json:"numbers,omitempty"`
	ServerLog []string            `json:"server_log,omitempty"`
	ClientLog map[string][]string `json:"client_log,omitempty"`
}

// An End is the last line of a complete file.
type End struct {
	Counts
	// State has the lines of the file that -state names, nil if none was named.
	State *[]string           `json:"state,omitempty"`
	Logs  map[string][]string `json:"logs,omitempty"`
}

// Counts say how much a recording has.
type Counts struct {
	Sessions      int `json:"sessions"`
	Packets       int `json:"packets"`
	Exchanges     int `json:"exchanges"`
	NotUnderstood int `json:"not_understood"`
}

func (c Counts) String() string {
	s := fmt.Sprintf("%s, %s, %s", plural(c.Sessions, "session"), plural(c.Packets, "packet"), plural(c.Exchanges, "exchange"))
	if c.NotUnderstood > 0 {
		s += fmt.Sprintf("; %d not understood", c.NotUnderstood)
	}
	return s
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// A Line is one thing that passed between a client and the server.
type Line struct {
	At      float64 `json:"at"`
	Session string  `json:"session,omitempty"`
	From    string  `json:"from,omitempty"`
	Over    string  `json:"over,omitempty"`
	Open    bool    `json:"open,omitempty"`
	Raw     bool    `json:"raw,omitempty"` // with Open: a WebSocket that is not Socket.IO
	URL     string  `json:"url,omitempty"` // with Open: what was asked for
	Headers Headers `json:"headers,omitempty"`
	Packet  *string `json:"packet,omitempty"`
	Binary  bool    `json:"binary,omitempty"`
	// Base64 is set in a file alone, where the text of Packet is not UTF-8.
	Base64 bool      `json:"base64,omitempty"`
	Close  bool      `json:"close,omitempty"`
	GaveUp bool      `json:"gave_up,omitempty"`
	HTTP   *Exchange `json:"http,omitempty"`
	More   *More     `json:"more,omitempty"`
	// NotUnderstood describes traffic that could not be recorded.
	NotUnderstood string `json:"not_understood,omitempty"`

	// Number is the line's number in its file, where the header is line 1.
	Number int `json:"-"`
}

// An Exchange is an HTTP request outside of a live session, and its answer.
type Exchange struct {
	Method          string
	URL             string
	Headers         Headers
	Body            string
	Status          int
	ContentType     string
	Response        string
	ResponseHeaders Headers
	// Took is the time from the request to the complete answer, in seconds.
	Took float64
	// Incomplete reports that the client, or the recording, ended before the answer.
	Incomplete bool
	// ID is set if More lines continue the answer.
	ID int
}

// More is a further piece of the body of a long answer.
type More struct {
	ID       int    `json:"id"`
	Response string `json:"response,omitempty"`
	Base64   bool   `json:"base64,omitempty"`
	// Done is when the answer was complete, in seconds after its request.
	Done float64 `json:"done,omitempty"`
}

// Headers are header fields by canonical name. In JSON a field that occurs once
// is a string.
type Headers map[string][]string

// Never are the response headers that are neither recorded nor compared: headers of the
// connection, Date and Server.
var Never = []string{
	"Connection", "Content-Length", "Date", "Keep-Alive", "Sec-Websocket-Accept", "Sec-Websocket-Extensions", "Server",
	"Trailer", "Transfer-Encoding", "Upgrade",
}

// Get returns the first value of a field, or "".
func (h Headers) Get(name string) string {
	if len(h[name]) == 0 {
		return ""
	}
	return h[name][0]
}

// Names returns the names in order.
func (h Headers) Names() []string { return slices.Sorted(maps.Keys(h)) }

// MarshalJSON implements json.Marshaler.
func (h Headers) MarshalJSON() ([]byte, error) {
	m := map[string]any{}
	for name, values := range h {
		if len(values) == 1 {
			m[name] = values[0]
		} else {
			m[name] = values
		}
	}
	return marshal(m)
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *Headers) UnmarshalJSON(text []byte) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(text, &m); err != nil {
		return err
	}
	*h = Headers{}
	for name, raw := range m {
		var one string
		var several []string
		if json.Unmarshal(raw, &one) == nil {
			several = []string{one}
		} else if err := json.Unmarshal(raw, &several); err != nil {
			return fmt.Errorf("header %s: neither a string nor a list of strings", name)
		}
		(*h)[name] = several
	}
	return nil
}

// exchange is the JSON form of an Exchange, in which a body that is not UTF-8 is Base64.
type exchange struct {
	Method          string  `json:"method"`
	URL             string  `json:"url"`
	Headers         Headers `json:"headers,omitempty"`
	Body            string  `json:"body,omitempty"`
	BodyBase64      bool    `json:"body_base64,omitempty"`
	Status          int     `json:"status"`
	ContentType     string  `json:"content_type"`
	Response        string  `json:"response"`
	ResponseBase64  bool    `json:"response_base64,omitempty"`
	ResponseHeaders Headers `json:"response_headers,omitempty"`
	Took            float64 `json:"took,omitempty"`
	Incomplete      bool    `json:"incomplete,omitempty"`
	ID              int     `json:"id,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (x Exchange) MarshalJSON() ([]byte, error) {
	e := exchange{
		Method: x.Method, URL: x.URL, Headers: x.Headers, Status: x.Status, ContentType: x.ContentType,
		ResponseHeaders: x.ResponseHeaders, Took: x.Took, Incomplete: x.Incomplete, ID: x.ID,
	}
	e.Body, e.BodyBase64 = toText(x.Body)
	e.Response, e.ResponseBase64 = toText(x.Response)
	return marshal(e)
}

// UnmarshalJSON implements json.Unmarshaler.
func (x *Exchange) UnmarshalJSON(text []byte) error {
	var e exchange
	if err := json.Unmarshal(text, &e); err != nil {
		return err
	}
	*x = Exchange{
		Method: e.Method, URL: e.URL, Headers: e.Headers, Status: e.Status, ContentType: e.ContentType,
		ResponseHeaders: e.ResponseHeaders, Took: e.Took, Incomplete: e.Incomplete, ID: e.ID,
	}
	var err error
	if x.Body, err = fromText(e.Body, e.BodyBase64); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if x.Response, err = fromText(e.Response, e.ResponseBase64); err != nil {
		return fmt.Errorf("response: %w", err)
	}
	return nil
}

func toText(body string) (text string, isBase64 bool) {
	if utf8.ValidString(body) {
		return body, false
	}
	return base64.StdEncoding.EncodeToString([]byte(body)), true
}

func fromText(text string, isBase64 bool) (string, error) {
	if !isBase64 {
		return text, nil
	}
	data, err := base64.StdEncoding.DecodeString(text)
	return string(data), err
}

// escaped returns the line as it is written to a file.
func (l Line) escaped() Line {
	if l.Packet != nil && !l.Binary {
		var text string
		if text, l.Base64 = toText(*l.Packet); l.Base64 {
			l.Packet = &text
		}
	}
	return l
}

// unescape undoes escaped.
func (l *Line) unescape() error {
	if l.Packet == nil || !l.Base64 {
		return nil
	}
	text, err := fromText(*l.Packet, true)
	l.Packet, l.Base64 = &text, false
	return err
}

// marshal is json.Marshal without HTML escapes.
func marshal(v any) ([]byte, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return []byte(strings.TrimSuffix(b.String(), "\n")), err
}

// Data returns the bytes of the packet, decoded if it is binary. A line that Read returned
// always has valid Base64.
func (l Line) Data() []byte {
	if l.Packet == nil {
		return nil
	}
	if !l.Binary {
		return []byte(*l.Packet)
	}
	data, _ := base64.StdEncoding.DecodeString(*l.Packet)
	return data
}

// String describes the line for messages.
func (l Line) String() string {
	switch {
	case l.HTTP != nil:
		return l.HTTP.String()
	case l.NotUnderstood != "":
		return "not understood: " + l.NotUnderstood
	case l.Open:
		return "opens " + l.Over
	case l.Close:
		return "closes " + l.Over
	case l.GaveUp:
		return "gives up a poll"
	case l.Packet == nil:
		return "nothing"
	case l.Binary:
		return "binary " + *l.Packet
	case *l.Packet == "":
		return "an empty poll"
	}
	return *l.Packet
}

// String describes the answer, without the request.
func (x Exchange) String() string {
	text, isBase64 := toText(x.Response)
	s := fmt.Sprintf("%d %s %q", x.Status, x.ContentType, text)
	if isBase64 {
		s += " (Base64)"
	}
	if x.Incomplete {
		s += " …"
	}
	for _, name := range x.ResponseHeaders.Names() {
		for _, v := range x.ResponseHeaders[name] {
			s += fmt.Sprintf(", %s: %s", name, v)
		}
	}
	return s
}
