package replay

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"counting/compat-tests/siotape/packet"
	"counting/compat-tests/siotape/rules"
)

// sameState reports whether the state file has the recorded lines, in an order that the
// rules allow.
func (e *engine) sameState(came []string) bool {
	recorded := *e.End.State
	if slices.Equal(came, recorded) {
		return true
	}
	rule := e.rules.State
	if rule == nil || len(came) != len(recorded) || rule.Order == "" || rule.Order == rules.Recorded {
		return false
	}
	places, ok := placesOf(recorded, came)
	if !ok || rule.Order == "any" {
		return ok
	}
	sent := e.senders(recorded, rule.Cause)
	for i := range places {
		for k := i + 1; k < len(places); k++ {
			// i was recorded before k: were they swapped, and may they be?
			if places[i] > places[k] && !e.maySwap(sent[i], sent[k]) {
				return false
			}
		}
	}
	return true
}

// placesOf returns the index of each recorded line in what came. ok is false if a line is
// missing.
func placesOf(recorded, came []string) (places []int, ok bool) {
	taken := make([]bool, len(came))
	for _, line := range recorded {
		at := -1
		for i, c := range came {
			if c == line && !taken[i] {
				at = i
				break
			}
		}
		if at < 0 {
			return nil, false
		}
		taken[at] = true
		places = append(places, at)
	}
	return places, true
}

// senders returns for each line the step whose event caused it, or -1 if there is none:
// such a line may not be swapped.
func (e *engine) senders(lines []string, cause *rules.Cause) []int {
	senders := make([]int, len(lines))
	used := map[*packet.Packet]bool{}
	for i, line := range lines {
		senders[i] = -1
	search:
		for _, st := range e.steps {
			for _, pkt := range st.packets {
				if pkt == nil || used[pkt] || pkt.Kind != packet.Event || pkt.Name != cause.Event {
					continue
				}
				if caused, ok := cause.Lines[valueAt(cause.Path, nil, pkt.Body)]; ok && caused == line {
					senders[i], used[pkt] = st.index, true
					break search
				}
			}
		}
	}
	return senders
}

// valueAt returns the value that a path selects, as text.
func valueAt(p rules.Path, at rules.Route, v any) string {
	if p.Matches(at) {
		switch v := v.(type) {
		case string:
			return v
		case json.Number:
			return v.String()
		}
		return ""
	}
	switch v := v.(type) {
	case []any:
		for i := range v {
			if found := valueAt(p, append(slices.Clone(at), rules.Index(i)), v[i]); found != "" {
				return found
			}
		}
	case map[string]any:
		for key := range v {
			if found := valueAt(p, append(slices.Clone(at), rules.Key(key)), v[key]); found != "" {
				return found
			}
		}
	}
	return ""
}

// maySwap reports whether two steps are of different sessions, and the server sent nothing
// between them.
func (e *engine) maySwap(i, k int) bool {
	if i < 0 || k < 0 || e.steps[i].lines[0].Session == e.steps[k].lines[0].Session {
		return false
	}
	return !slices.ContainsFunc(e.steps[min(i, k):max(i, k)], func(st *step) bool { return st.item != nil })
}

func (e *engine) stateDifference(came []string) Difference {
	recorded := *e.End.State
	i := 0
	for i < len(came) && i < len(recorded) && came[i] == recorded[i] {
		i++
	}
	return Difference{
		Kind: StateFile, Where: "the state file", What: fmt.Sprintf("it differs from its line %d on", i+1),
		Recorded: listed(recorded[i:]), Came: listed(came[i:]),
	}
}

func listed(lines []string) string {
	const enough = 12
	if len(lines) == 0 {
		return "the end of the file"
	}
	if len(lines) > enough {
		return strings.Join(lines[:enough], ", ") + fmt.Sprintf(" … and %d more", len(lines)-enough)
	}
	return strings.Join(lines, ", ")
}
