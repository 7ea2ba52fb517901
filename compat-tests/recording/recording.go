// Package recording is the format of the recorded sessions and the rules by
// which one is compared with what another server does. Both are written down
// in recordings/FORMAT.md.
package recording

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// Version is the version of the format that this package reads and writes.
const Version = 1

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
}

// A Header is the first line of a file.
type Header struct {
	Version   int                 `json:"recording"`
	Name      string              `json:"name"`
	About     string              `json:"about"`
	Server    string              `json:"server"`
	Recorded  string              `json:"recorded"`
	Numbers   []string            `json:"numbers"`
	ServerLog []string            `json:"server_log"`
	ClientLog map[string][]string `json:"client_log,omitempty"`
}

// A Line is one thing that passed between a client and the server.
type Line struct {
	At      float64   `json:"at"`
	Session string    `json:"session,omitempty"`
	From    string    `json:"from,omitempty"`
	Over    string    `json:"over,omitempty"`
	Open    bool      `json:"open,omitempty"`
	Packet  *string   `json:"packet,omitempty"`
	Binary  bool      `json:"binary,omitempty"`
	Close   bool      `json:"close,omitempty"`
	HTTP    *Exchange `json:"http,omitempty"`

	// Number is the line's number in its file, where the header is line 1.
	Number int `json:"-"`
}

// An Exchange is an HTTP request outside of a live session, and its answer.
type Exchange struct {
	Method          string            `json:"method"`
	URL             string            `json:"url"`
	Headers         map[string]string `json:"headers,omitempty"`
	Body            string            `json:"body,omitempty"`
	Status          int               `json:"status"`
	ContentType     string            `json:"content_type"`
	Response        string            `json:"response"`
	ResponseHeaders map[string]string `json:"response_headers,omitempty"`
}

// ReadFile reads the recording in the named file.
func ReadFile(name string) (*Recording, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// Read reads a recording. Empty lines are passed over, keys that it does not
// know too.
func Read(from io.Reader) (*Recording, error) {
	r := &Recording{}
	in := bufio.NewReader(from)
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return nil, err
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			if err := r.add(text, n); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
		}
		if err == io.EOF {
			break
		}
	}
	if r.Version != Version {
		return nil, fmt.Errorf("no recording of version %d: the header is missing", Version)
	}
	return r, nil
}

func (r *Recording) add(text []byte, n int) error {
	if r.Version == 0 {
		if err := json.Unmarshal(text, &r.Header); err != nil {
			return fmt.Errorf("header: %w", err)
		}
		if r.Version != Version {
			return fmt.Errorf("recording version %d: only %d is known", r.Version, Version)
		}
		return nil
	}
	l := Line{Number: n}
	if err := json.Unmarshal(text, &l); err != nil {
		return err
	}
	if err := l.check(); err != nil {
		return err
	}
	r.Lines = append(r.Lines, l)
	return nil
}

// check finds lines that nothing could be done with.
func (l Line) check() error {
	if l.HTTP != nil {
		return nil
	}
	switch {
	case l.Session == "":
		return fmt.Errorf("neither a session nor http")
	case l.From != Client && l.From != Server:
		return fmt.Errorf("from %q: neither %s nor %s", l.From, Client, Server)
	case l.Over != Polling && l.Over != WebSocket:
		return fmt.Errorf("over %q: neither %s nor %s", l.Over, Polling, WebSocket)
	case !l.Open && !l.Close && l.Packet == nil:
		return fmt.Errorf("neither open, packet nor close")
	}
	return nil
}

// Write writes r in the form that Read reads.
func (r *Recording) Write(to io.Writer) error {
	out := bufio.NewWriter(to)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r.Header); err != nil {
		return err
	}
	for _, l := range r.Lines {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return out.Flush()
}

// String says what happened on the line, as a person would want to read it.
func (l Line) String() string {
	switch {
	case l.HTTP != nil:
		return l.HTTP.String()
	case l.Open:
		return "opens " + l.Over
	case l.Close:
		return "closes " + l.Over
	case l.Packet == nil:
		return "nothing"
	case l.Binary:
		return "binary " + *l.Packet
	case *l.Packet == "":
		return "an empty poll"
	}
	return *l.Packet
}

// String gives the answer, without the request.
func (e Exchange) String() string {
	s := fmt.Sprintf("%d %s %q", e.Status, e.ContentType, e.Response)
	for _, name := range sortedKeys(e.ResponseHeaders) {
		s += fmt.Sprintf(", %s: %s", name, e.ResponseHeaders[name])
	}
	return s
}
