package replay

import (
	"fmt"
	"strings"
)

// The kinds of differences.
const (
	Changed    = "changed"    // it arrived with another content
	Missing    = "missing"    // it did not arrive
	Late       = "late"       // it arrived too late
	Unexpected = "unexpected" // it arrived and was not recorded
	Order      = "order"      // it arrived before something that it was recorded after
	Early      = "early"      // it arrived before its cause
	Refused    = "refused"    // the server refused what a client sent
	StateFile  = "state"      // the state file has other lines
)

// A Difference is one place where a server did not do what was recorded.
type Difference struct {
	Kind     string `json:"kind"`
	Line     int    `json:"line"`  // in the file; 0 is after the last line
	Where    string `json:"where"` // the session, the request or the state file
	What     string `json:"what"`  // which event, ack, answer, …
	Recorded string `json:"recorded"`
	Came     string `json:"came"`
	After    string `json:"after,omitempty"` // the last step of the clients
	// Leaves are the values that differ, if Kind is Changed.
	Leaves []Leaf `json:"values,omitempty"`
	// Also is the number of further differences of the same kind; see Grouped.
	Also int `json:"also,omitempty"`

	item *item
}

func (d Difference) String() string {
	line := "at the end"
	if d.Line > 0 {
		line = fmt.Sprintf("line %d", d.Line)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s: %s", line, d.Where, d.headline())
	fmt.Fprintf(&b, "\n  recorded: %s\n  came:     %s", short(d.Recorded), short(d.Came))
	if d.After != "" {
		fmt.Fprintf(&b, "\n  after:    %s", short(d.After))
	}
	for _, l := range d.Leaves {
		fmt.Fprintf(&b, "\n  %s: %s, was %s", l.Where, short(l.Came), short(l.Recorded))
	}
	if d.Also > 0 {
		fmt.Fprintf(&b, "\n  and %d more of this kind", d.Also)
	}
	return b.String()
}

func (d Difference) headline() string {
	switch d.Kind {
	case Changed:
		return d.What + " has changed"
	case Missing:
		return d.What + " is missing"
	case Late:
		return d.What + " came late"
	case Unexpected:
		return d.What + " was not recorded"
	case Order:
		return d.What + " came in another order"
	case Early:
		return d.What + " came before its cause"
	case Refused:
		return "the server refused what the client did"
	}
	return d.What
}

// short shortens a long text.
func short(text string) string {
	const head, tail = 200, 50
	if len(text) <= head+tail {
		return text
	}
	return fmt.Sprintf("%s … %d bytes … %s", text[:head], len(text)-head-tail, text[len(text)-tail:])
}

// Grouped returns the first difference of each kind, with the number of others of the same
// kind, with the same event or response and the same values in it.
func Grouped(all []Difference) []Difference {
	var groups []Difference
	at := map[string]int{}
	for _, d := range all {
		key := d.Kind + "\x00" + d.What
		for _, l := range d.Leaves {
			key += "\x00" + l.general
		}
		if d.Kind == Refused || d.Kind == StateFile {
			key += "\x00" + d.Recorded
		}
		if i, ok := at[key]; ok {
			groups[i].Also++
			continue
		}
		at[key] = len(groups)
		groups = append(groups, d)
	}
	return groups
}
