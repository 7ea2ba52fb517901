// Package rules reads rules files. A rules file, next to recordings, says what a server may
// do differently from the recordings, and why.
package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"

	"go.yaml.in/yaml/v3"
)

// FileName is the name of the rules file in a directory of recordings.
const FileName = "rules.yaml"

// Orders, for Rules.Order.
const (
	// Caused compares the order of packets with the same cause. Packets with different
	// causes from about the same time may come in any order.
	Caused = "caused"
	// Recorded compares the order of all packets of a session.
	Recorded = "recorded"
)

// Rules is the content of a rules file. The zero value has no exceptions.
type Rules struct {
	// Order is Caused or Recorded; "" is Caused.
	Order string `yaml:"order,omitempty"`
	// Heartbeats compares pings too, in sessions that have one.
	Heartbeats bool `yaml:"heartbeats,omitempty"`
	// Masks are values that may differ.
	Masks []*Mask `yaml:"masks,omitempty"`
	// Free are packets that are optional.
	Free []*Packets `yaml:"free,omitempty"`
	// AnyOrder are packets whose order does not matter.
	AnyOrder []*Packets `yaml:"any_order,omitempty"`
	State    *State     `yaml:"state,omitempty"`
}

// Where selects what a rule applies to. One of the fields that select a packet is set.
type Where struct {
	Event        string `yaml:"event,omitempty"` // its name
	Ack          string `yaml:"ack,omitempty"`   // the name of the client's event that is answered
	Connect      bool   `yaml:"connect,omitempty"`
	ConnectError bool   `yaml:"connect_error,omitempty"`
	Handshake    bool   `yaml:"handshake,omitempty"`
	WebSocket    string `yaml:"websocket,omitempty"` // the path of one that is not Socket.IO
	HTTP         string `yaml:"http,omitempty"`      // METHOD /path

	Namespace string `yaml:"namespace,omitempty"` // default: any
	Status    int    `yaml:"status,omitempty"`    // with HTTP: the recorded status; default: any
	Recording string `yaml:"recording,omitempty"` // default: any
}

// A Mask allows a value in packets or answers to differ.
type Mask struct {
	Where `yaml:",inline"`
	// Path, Header or Pattern selects the value. Pattern is a regular expression for
	// text; what its groups match may differ.
	Path    Path   `yaml:"path,omitempty"`
	Header  string `yaml:"header,omitempty"`
	Pattern Regexp `yaml:"pattern,omitempty"`
	// Is is what the value must be: any, string, number, uuid, time or absent. By
	// default it must have the recorded type.
	Is string `yaml:"is,omitempty"`
	// As names the value. It must be equal wherever it was equal in the recording, and
	// clients send the value that they received.
	As  string `yaml:"as,omitempty"`
	Why string `yaml:"why"`

	used atomic.Bool
}

// Packets selects packets.
type Packets struct {
	Where `yaml:",inline"`
	Why   string `yaml:"why"`

	used atomic.Bool
}

// State says how the lines of the state file are compared.
type State struct {
	// Order is "recorded", "any", or "caused": two lines may be swapped if, by Cause,
	// two sessions sent the events that caused them, and the server sent nothing in
	// between. "" is recorded.
	Order string `yaml:"order,omitempty"`
	Cause *Cause `yaml:"cause,omitempty"`
	Why   string `yaml:"why"`
}

// A Cause finds the event of a client that caused a line.
type Cause struct {
	Event string `yaml:"event"`
	Path  Path   `yaml:"path"`
	// Lines has, for a value at Path, the line that it causes.
	Lines map[string]string `yaml:"lines"`
}

// A Regexp is a regular expression in a rules file.
type Regexp struct{ *regexp.Regexp }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Regexp) UnmarshalText(text []byte) (err error) {
	r.Regexp, err = regexp.Compile(string(text))
	return err
}

// MarshalYAML implements yaml.Marshaler.
func (r Regexp) MarshalYAML() (any, error) { return r.String(), nil }

// IsZero implements yaml.IsZeroer.
func (r Regexp) IsZero() bool { return r.Regexp == nil }

// MarshalYAML implements yaml.Marshaler.
func (p Path) MarshalYAML() (any, error) { return p.text, nil }

// ReadFile reads a rules file.
func ReadFile(name string) (*Rules, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	r, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// Beside reads the rules file next to a recording. If there is none, there are no
// exceptions.
func Beside(recording string) (*Rules, error) {
	r, err := ReadFile(filepath.Join(filepath.Dir(recording), FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return &Rules{}, nil
	}
	return r, err
}

// Parse parses the text of a rules file. An unknown key is an error.
func Parse(text []byte) (*Rules, error) {
	r := &Rules{}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(r); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return r, r.check()
}

func (r *Rules) check() error {
	if r.Order != "" && r.Order != Caused && r.Order != Recorded {
		return fmt.Errorf("order %q: want %s or %s", r.Order, Caused, Recorded)
	}
	var all []error
	for i, m := range r.Masks {
		if err := m.check(); err != nil {
			all = append(all, fmt.Errorf("masks, entry %d: %w", i+1, err))
		}
	}
	for name, list := range map[string][]*Packets{"free": r.Free, "any_order": r.AnyOrder} {
		for i, p := range list {
			if err := p.check(p.Why); err != nil {
				all = append(all, fmt.Errorf("%s, entry %d: %w", name, i+1, err))
			}
		}
	}
	if r.State != nil {
		all = append(all, r.State.check())
	}
	return errors.Join(all...)
}

func (w Where) check(why string) error {
	n := 0
	for _, set := range []bool{w.Event != "", w.Ack != "", w.Connect, w.ConnectError, w.Handshake, w.WebSocket != "", w.HTTP != ""} {
		if set {
			n++
		}
	}
	if n != 1 {
		return errors.New("want one of event, ack, connect, connect_error, handshake, websocket and http")
	}
	if w.HTTP != "" {
		if method, where, ok := strings.Cut(w.HTTP, " "); !ok || method == "" || !strings.HasPrefix(where, "/") && where != "*" {
			return fmt.Errorf("http %q: want METHOD /path, such as GET /users/*", w.HTTP)
		}
	}
	if why == "" {
		return errors.New("why is missing: write why this may differ")
	}
	return nil
}

func (m *Mask) check() error {
	if err := m.Where.check(m.Why); err != nil {
		return err
	}
	n := 0
	for _, set := range []bool{!m.Path.IsZero(), m.Header != "", !m.Pattern.IsZero()} {
		if set {
			n++
		}
	}
	if n != 1 {
		return errors.New("want one of path, header and pattern")
	}
	if !m.Pattern.IsZero() && m.Pattern.NumSubexp() == 0 {
		return fmt.Errorf("pattern %q: want a group, in parentheses, around what may differ", m.Pattern)
	}
	if m.Header != "" && m.HTTP == "" && !m.Handshake && !m.Connect {
		return errors.New("header requires http or handshake")
	}
	switch m.Is {
	case "", "any", "string", "number", "uuid", "time", "absent":
		return nil
	}
	return fmt.Errorf("is %q: want any, string, number, uuid, time or absent", m.Is)
}

func (s *State) check() error {
	switch {
	case s.Order != "" && s.Order != "any" && s.Order != Recorded && s.Order != Caused:
		return fmt.Errorf("state: order %q: want recorded, any or caused", s.Order)
	case s.Why == "":
		return errors.New("state: why is missing")
	case s.Order == Caused && (s.Cause == nil || s.Cause.Event == "" || s.Cause.Path.IsZero()):
		return errors.New("state: order caused needs a cause with an event and a path")
	}
	return nil
}

// A Subject is a packet or answer that a rule may apply to.
type Subject struct {
	Recording string
	Kind      string // event, ack, connect, connect_error, handshake, websocket or http
	Name      string // of an event, or of the event that an ack answers
	Namespace string
	Method    string // of http
	Path      string // of http and websocket, without a query
	Status    int
}

// about reports whether the rule applies to the subject.
func (w Where) about(s Subject) bool {
	if w.Recording != "" && !glob(w.Recording, s.Recording) {
		return false
	}
	if w.Namespace != "" && w.Namespace != s.Namespace || w.Status != 0 && w.Status != s.Status {
		return false
	}
	switch s.Kind {
	case "event":
		return w.Event != "" && glob(w.Event, s.Name)
	case "ack":
		return w.Ack != "" && glob(w.Ack, s.Name)
	case "connect":
		return w.Connect
	case "connect_error":
		return w.ConnectError
	case "handshake":
		return w.Handshake
	case "websocket":
		return w.WebSocket != "" && glob(w.WebSocket, s.Path)
	case "http":
		method, where, ok := strings.Cut(w.HTTP, " ")
		return ok && glob(method, s.Method) && glob(where, s.Path)
	}
	return false
}

// glob matches as path.Match does, except that * alone, and /* at the end, match
// anything.
func glob(pattern, name string) bool {
	if pattern == "*" || pattern == name {
		return true
	}
	if before, ok := strings.CutSuffix(pattern, "/*"); ok && strings.HasPrefix(name, before+"/") {
		return true
	}
	ok, _ := path.Match(pattern, name)
	return ok
}

// MasksFor returns the masks that apply to the subject.
func (r *Rules) MasksFor(s Subject) []*Mask {
	var masks []*Mask
	for _, m := range r.Masks {
		if m.about(s) {
			masks = append(masks, m)
		}
	}
	return masks
}

// IsFree reports whether the packet is optional.
func (r *Rules) IsFree(s Subject) bool { return anyAbout(r.Free, s) }

// IsInAnyOrder reports whether the order of the packet does not matter.
func (r *Rules) IsInAnyOrder(s Subject) bool { return anyAbout(r.AnyOrder, s) }

func anyAbout(list []*Packets, s Subject) bool {
	for _, p := range list {
		if p.about(s) {
			p.used.Store(true)
			return true
		}
	}
	return false
}

// Unused describes the rules that did not apply to anything, which may be misspelt.
func (r *Rules) Unused() []string {
	var all []string
	for i, m := range r.Masks {
		if !m.used.Load() {
			all = append(all, fmt.Sprintf("masks, entry %d (%s)", i+1, m.Why))
		}
	}
	for i, p := range r.Free {
		if !p.used.Load() {
			all = append(all, fmt.Sprintf("free, entry %d (%s)", i+1, p.Why))
		}
	}
	for i, p := range r.AnyOrder {
		if !p.used.Load() {
			all = append(all, fmt.Sprintf("any_order, entry %d (%s)", i+1, p.Why))
		}
	}
	return all
}

// IsEmpty reports whether the rules have no exceptions.
func (r *Rules) IsEmpty() bool { return len(r.Masks)+len(r.Free)+len(r.AnyOrder) == 0 }

// Add adds the exceptions of other rules.
func (r *Rules) Add(other *Rules) {
	r.Masks = append(r.Masks, other.Masks...)
	r.Free = append(r.Free, other.Free...)
	r.AnyOrder = append(r.AnyOrder, other.AnyOrder...)
}

// Text returns the text of a rules file.
func (r *Rules) Text() ([]byte, error) { return yaml.Marshal(r) }
