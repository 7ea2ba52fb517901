package tape

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

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
	if r.Name == "" {
		r.Name = strings.TrimSuffix(filepath.Base(name), ".jsonl")
	}
	return r, nil
}

// Read reads a recording. It ignores empty lines and unknown keys. The last line of a file
// without an end may be incomplete.
func Read(from io.Reader) (*Recording, error) {
	r := &Recording{}
	in := bufio.NewReader(from)
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return nil, err
		}
		cut := err == io.EOF
		if text = bytes.TrimSpace(text); len(text) > 0 {
			if err := r.add(text, n); err != nil && !(cut && r.Version > 1 && n > 1) {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
		}
		if cut {
			break
		}
	}
	if r.Version == 0 {
		return nil, fmt.Errorf("this is not a recording: its first line is not a header with \"recording\": %d", Version)
	}
	if r.Version == 1 {
		r.Header.Numbers = cmpNil(r.Header.Numbers)
		r.End = &End{Counts: r.count(), State: &r.Header.Numbers}
		return r, nil
	}
	if err := r.putInOrder(); err != nil {
		return nil, err
	}
	return r, nil
}

func cmpNil(lines []string) []string {
	if lines == nil {
		return []string{}
	}
	return lines
}

func (r *Recording) add(text []byte, n int) error {
	if r.Version == 0 {
		if err := json.Unmarshal(text, &r.Header); err != nil {
			return fmt.Errorf("header: %w", err)
		}
		if r.Version < 1 || r.Version > Version {
			return fmt.Errorf("recording version %d: only 1 and %d are known", r.Version, Version)
		}
		return nil
	}
	if r.End != nil {
		return fmt.Errorf("there are lines after the end")
	}
	l := struct {
		Line
		End *End `json:"end"`
	}{Line: Line{Number: n}}
	if err := json.Unmarshal(text, &l); err != nil {
		return err
	}
	if l.End != nil {
		r.End = l.End
		return nil
	}
	if err := errors.Join(l.check(), l.unescape()); err != nil {
		return err
	}
	r.Lines = append(r.Lines, l.Line)
	return nil
}

// check returns an error for a line without the required keys.
func (l Line) check() error {
	if l.HTTP != nil || l.More != nil || l.NotUnderstood != "" {
		return nil
	}
	switch {
	case l.Session == "":
		return fmt.Errorf("neither a session nor http")
	case l.From != Client && l.From != Server:
		return fmt.Errorf("from %q: neither %s nor %s", l.From, Client, Server)
	case l.Over != Polling && l.Over != WebSocket:
		return fmt.Errorf("over %q: neither %s nor %s", l.Over, Polling, WebSocket)
	case !l.Open && !l.Close && !l.GaveUp && l.Packet == nil:
		return fmt.Errorf("neither open, packet nor close")
	}
	if l.Binary && l.Packet != nil {
		if _, err := base64.StdEncoding.DecodeString(*l.Packet); err != nil {
			return fmt.Errorf("packet: %w", err)
		}
	}
	return nil
}

// putInOrder sorts the lines, which are written when they are complete, by time; joins
// answers that were written in pieces; and decides which cancelled polls ended their
// session.
func (r *Recording) putInOrder() error {
	started := map[int]*Exchange{}
	lines := r.Lines[:0]
	for _, l := range r.Lines {
		if l.More == nil {
			if l.HTTP != nil && l.HTTP.ID > 0 {
				started[l.HTTP.ID] = l.HTTP
			}
			lines = append(lines, l)
			continue
		}
		x := started[l.More.ID]
		if x == nil {
			return fmt.Errorf("line %d: more of exchange %d, which does not exist", l.Number, l.More.ID)
		}
		more, err := fromText(l.More.Response, l.More.Base64)
		if err != nil {
			return fmt.Errorf("line %d: %w", l.Number, err)
		}
		x.Response += more
		if l.More.Done > 0 {
			x.Took, x.Incomplete = l.More.Done, false
		}
	}
	slices.SortStableFunc(lines, func(a, b Line) int { return cmp.Compare(a.At, b.At) })
	last, over := map[string]int{}, map[string]bool{}
	for i, l := range lines {
		last[l.Session] = i
	}
	r.Lines = nil
	for i, l := range lines {
		if l.GaveUp {
			if over[l.Session] || last[l.Session] != i {
				continue
			}
			l.GaveUp, l.Close = false, true
		}
		over[l.Session] = over[l.Session] || l.Close || l.From == Client && l.Packet != nil && *l.Packet == "1"
		r.Lines = append(r.Lines, l)
	}
	return nil
}

// Count returns how much the recording has.
func (r *Recording) Count() Counts {
	if r.End != nil {
		return r.End.Counts
	}
	return r.count()
}

func (r *Recording) count() Counts {
	var c Counts
	seen := map[string]bool{}
	for _, l := range r.Lines {
		switch {
		case l.HTTP != nil:
			c.Exchanges++
		case l.NotUnderstood != "":
			c.NotUnderstood++
		case l.Open && !seen[l.Session]:
			seen[l.Session] = true
			c.Sessions++
		case l.Packet != nil && *l.Packet != "":
			c.Packets++
		}
	}
	return c
}
