package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"counting/compat-tests/siotape/tape"
)

// An Expectation lists the intended differences of another server. It is a file next to its
// recording: third-client.default.json has the differences of the default mode from
// third-client.jsonl. Other differences are not allowed, and all that are listed must
// occur.
type Expectation struct {
	Changes []Change `json:"changes"`
	// Numbers are other lines of the state file.
	Numbers *LinesInstead `json:"numbers,omitempty"`
}

// A Change replaces one line of the server by packets, or adds packets after any line.
// Without packets the line is removed.
type Change struct {
	Line    int      `json:"line,omitempty"`    // the line, or
	After   int      `json:"after,omitempty"`   // the line after which
	Session string   `json:"session,omitempty"` // this session receives more
	Packets []string `json:"packets,omitempty"`
	// HTTP is another response. The body "*" is any.
	HTTP *tape.Exchange `json:"http,omitempty"`
	Why  string         `json:"why"`
}

// LinesInstead are other lines of the state file.
type LinesInstead struct {
	Lines []string `json:"lines"`
	Why   string   `json:"why"`
}

// ReadExpected reads a recording and, if mode is not empty, applies the expectation for that
// mode. It is an error if there is no expectation for the mode in the directory.
func ReadExpected(name, mode string) (*tape.Recording, error) {
	r, err := tape.ReadFile(name)
	if err != nil || mode == "" {
		return r, err
	}
	file := strings.TrimSuffix(name, ".jsonl") + "." + mode + ".json"
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		others := filepath.Join(filepath.Dir(name), "*."+mode+".json")
		if found, err := filepath.Glob(others); err != nil || len(found) == 0 {
			return nil, fmt.Errorf("mode %q: there is no expectation for it, %s", mode, others)
		}
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	var e Expectation
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if r, err = e.Apply(r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// ReadAll reads all recordings of a directory as ReadExpected does. It is an error if there
// are none.
func ReadAll(dir, mode string) ([]*tape.Recording, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("there are no recordings in %s", dir)
	}
	var all []*tape.Recording
	for _, name := range names {
		r, err := ReadExpected(name, mode)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Apply returns the recording with the changes of e. The lines of clients do not change.
func (e Expectation) Apply(r *tape.Recording) (*tape.Recording, error) {
	instead, added := map[int]*Change{}, map[int][]*Change{}
	for i := range e.Changes {
		c := &e.Changes[i]
		at := max(c.Line, c.After)
		switch {
		case c.Why == "":
			return nil, fmt.Errorf("line %d: why is missing", at)
		case (c.Line == 0) == (c.After == 0):
			return nil, fmt.Errorf("line %d: want either line or after", at)
		case instead[c.Line] != nil && c.Line > 0:
			return nil, fmt.Errorf("line %d is changed twice", c.Line)
		case c.Line > 0:
			instead[c.Line] = c
		default:
			added[c.After] = append(added[c.After], c)
		}
	}
	other := &tape.Recording{Header: r.Header, End: r.End}
	for _, l := range r.Lines {
		if c := instead[l.Number]; c == nil {
			other.Lines = append(other.Lines, l)
		} else {
			if l.From == tape.Client || (c.HTTP != nil) != (l.HTTP != nil) {
				return nil, fmt.Errorf("line %d: the change does not fit this line: %s", l.Number, l)
			}
			other.Lines = append(other.Lines, c.lines(l, l.Session)...)
		}
		for _, c := range added[l.Number] {
			other.Lines = append(other.Lines, c.lines(l, c.Session)...)
		}
		delete(instead, l.Number)
		delete(added, l.Number)
	}
	if len(instead)+len(added) > 0 {
		return nil, fmt.Errorf("%d changes are of lines that the recording does not have", len(instead)+len(added))
	}
	if e.Numbers != nil {
		if e.Numbers.Why == "" {
			return nil, errors.New("numbers: why is missing")
		}
		if other.End == nil {
			return nil, errors.New("numbers: the recording has no end, and so no state")
		}
		end := *other.End
		end.State = &e.Numbers.Lines
		other.End = &end
	}
	return other, nil
}

// lines returns the lines that replace l or follow it.
func (c *Change) lines(l tape.Line, session string) []tape.Line {
	if c.HTTP != nil {
		x := *c.HTTP
		x.Method, x.URL, x.Headers, x.Body = l.HTTP.Method, l.HTTP.URL, l.HTTP.Headers, l.HTTP.Body
		l.HTTP = &x
		return []tape.Line{l}
	}
	var lines []tape.Line
	for _, p := range c.Packets {
		over := l.Over
		if over == "" {
			over = tape.Polling
		}
		lines = append(lines, tape.Line{At: l.At, Session: session, From: tape.Server, Over: over, Packet: &p, Number: l.Number})
	}
	return lines
}
