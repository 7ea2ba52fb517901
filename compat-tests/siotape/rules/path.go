package rules

import (
	"fmt"
	"strconv"
	"strings"
)

// A Step leads from a JSON value to one within it: a key of an object, or an
// index of a list.
type Step struct {
	Key   string
	Index int // if Key is ""
	list  bool
}

// Key and Index make steps.
func Key(name string) Step { return Step{Key: name} }

// Index makes a step into a list.
func Index(i int) Step { return Step{Index: i, list: true} }

// A Route leads from a JSON value to one value within it.
type Route []Step

// String returns the route as a path, such as $[0].user["first name"].
func (r Route) String() string { return r.write(false) }

// General is String with [*] for every index except the first step's, which is the
// argument of an event.
func (r Route) General() string { return r.write(true) }

func (r Route) write(general bool) string {
	var b strings.Builder
	b.WriteByte('$')
	for i, s := range r {
		switch {
		case s.list && general && i > 0:
			b.WriteString("[*]")
		case s.list:
			fmt.Fprintf(&b, "[%d]", s.Index)
		case isName(s.Key):
			b.WriteString("." + s.Key)
		default:
			fmt.Fprintf(&b, "[%q]", s.Key)
		}
	}
	return b.String()
}

func isName(key string) bool {
	for _, c := range key {
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return key != ""
}

// A Path selects values within JSON, by a subset of JSONPath: $ is the root, .key or
// ["key"] and [0] select one value, .* and [*] all, and ..key all with that key at any
// depth.
type Path struct {
	text string
	segs []segment
}

type segment struct {
	step Step
	any  bool // *: any step
	deep bool // ..: after any number of steps
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Path) UnmarshalText(text []byte) error {
	rest, ok := strings.CutPrefix(string(text), "$")
	if !ok {
		return fmt.Errorf("path %q: want one that begins with $, such as $[0].id", text)
	}
	p.text, p.segs = string(text), nil
	for rest != "" {
		var s segment
		var err error
		if s, rest, err = parseSegment(rest); err != nil {
			return fmt.Errorf("path %q: %w", text, err)
		}
		p.segs = append(p.segs, s)
	}
	return nil
}

func parseSegment(rest string) (s segment, after string, err error) {
	if strings.HasPrefix(rest, "..") {
		s.deep, rest = true, rest[1:]
	}
	if name, ok := strings.CutPrefix(rest, "."); ok {
		end := strings.IndexAny(name, ".[")
		if end < 0 {
			end = len(name)
		}
		s.step.Key, s.any = name[:end], name[:end] == "*"
		if end == 0 {
			err = fmt.Errorf("a key is missing after %q", ".")
		}
		return s, name[end:], err
	}
	inside, after, ok := strings.Cut(strings.TrimPrefix(rest, "["), "]")
	if !ok || !strings.HasPrefix(rest, "[") {
		return s, "", fmt.Errorf("%q: want .key, [0] or [*]", rest)
	}
	if key, err := strconv.Unquote(inside); err == nil {
		s.step.Key = key
		return s, after, nil
	}
	if inside == "*" {
		s.any = true
		return s, after, nil
	}
	i, err := strconv.Atoi(inside)
	if err != nil || i < 0 {
		return s, "", fmt.Errorf("[%s]: want a number, * or a key in quotes", inside)
	}
	s.step = Index(i)
	return s, after, nil
}

func (p Path) String() string { return p.text }

// IsZero reports whether no path was given.
func (p Path) IsZero() bool { return p.text == "" }

// Matches reports whether the path selects the value at the route.
func (p Path) Matches(r Route) bool { return matches(p.segs, r) }

func matches(segs []segment, r Route) bool {
	if len(segs) == 0 {
		return len(r) == 0
	}
	if len(r) == 0 {
		return false
	}
	if (segs[0].any || segs[0].step == r[0]) && matches(segs[1:], r[1:]) {
		return true
	}
	return segs[0].deep && matches(segs, r[1:])
}
