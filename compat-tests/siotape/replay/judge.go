package replay

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"counting/compat-tests/siotape/packet"
	"counting/compat-tests/siotape/rules"
)

// A Leaf is one value that differs within a packet or a response.
type Leaf struct {
	Where    string `json:"where"` // a path such as $[0].id, status, body or header NAME
	Recorded string `json:"recorded"`
	Came     string `json:"came"`

	general        string // Where, for a rule
	recorded, came any
}

// A judge compares an arrival with an item.
type judge struct {
	values *values
	masks  []*rules.Mask
	tx     map[string]string // the values to bind if there are no differences
	masked int
	leaves []Leaf
}

func (j *judge) differ(where, general string, want, got any) {
	j.leaves = append(j.leaves, Leaf{where, show(want), show(got), general, want, got})
}

// missing is the value of what does not exist.
type missing struct{}

func show(v any) string {
	switch v := v.(type) {
	case missing:
		return "nothing"
	case string:
		return strconv.Quote(v)
	case packet.Attachment:
		return fmt.Sprintf("binary %x", string(v))
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// packet compares packets of one kind, namespace and name.
func (j *judge) packet(want, got *packet.Packet) {
	if want.HasBody != got.HasBody {
		if j.maskAt(nil, want.Body, got.Body) {
			return
		}
		j.differ("$", "$", body(want), body(got))
		return
	}
	switch want.Kind {
	case packet.Text, packet.Ping, packet.Pong:
		j.json(nil, want.Raw, got.Raw)
	case packet.Binary:
		if want.Raw != got.Raw {
			j.differ("bytes", "$", packet.Attachment(want.Raw), packet.Attachment(got.Raw))
		}
	case packet.Handshake, packet.Connect:
		j.opening(want, got)
	default:
		j.value(nil, want.Body, got.Body)
	}
}

func body(p *packet.Packet) any {
	if !p.HasBody {
		return missing{}
	}
	return p.Body
}

// opening compares handshakes and CONNECTs, in which sid and pid may be any text. A
// handshake may have more keys than were recorded.
func (j *judge) opening(want, got *packet.Packet) {
	w, ok := want.Body.(map[string]any)
	g, cameOK := got.Body.(map[string]any)
	if !ok || !cameOK {
		j.value(nil, want.Body, got.Body)
		return
	}
	w, g = maps.Clone(w), maps.Clone(g)
	for _, key := range []string{"sid", "pid"} {
		id, ok := w[key].(string)
		if !ok {
			continue
		}
		// A very short id was written by hand, and matches any.
		if came, ok := g[key].(string); ok && came != "" && (len(id) < minToken || j.values.binds(j.tx, id, came)) {
			delete(w, key)
			delete(g, key)
		}
	}
	if want.Kind == packet.Handshake {
		for key := range g {
			if _, ok := w[key]; !ok {
				delete(g, key)
			}
		}
	}
	j.value(nil, w, g)
}

// maskAt reports whether a rule allows the received value.
func (j *judge) maskAt(at rules.Route, want, got any) bool {
	for _, m := range j.masks {
		if m.Path.IsZero() || !m.Path.Matches(at) {
			continue
		}
		if m.Is == "absent" || !m.Allows(want, got) {
			continue
		}
		if m.As == "" {
			if !j.equal(want, got) {
				j.masked++
			}
			return true
		}
		key, came, ok := scalar(want), scalar(got), true
		if key == "" || came == "" {
			return false
		}
		if ok = j.values.binds(j.tx, key, came); ok && key != came {
			j.masked++
		}
		j.values.names[key] = "$" + m.As
		return ok
	}
	return false
}

// scalar returns a text or a number as a key of values, or "".
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return number(v)
	}
	return ""
}

func (j *judge) equal(want, got any) bool {
	quiet := &judge{values: j.values, tx: map[string]string{}}
	quiet.value(nil, want, got)
	return len(quiet.leaves) == 0
}

// value compares JSON values.
func (j *judge) value(at rules.Route, want, got any) {
	if j.maskAt(at, want, got) {
		return
	}
	same := false
	switch want := want.(type) {
	case map[string]any:
		if got, ok := got.(map[string]any); ok {
			j.object(at, want, got)
			return
		}
	case []any:
		if got, ok := got.([]any); ok && len(got) == len(want) {
			for i := range want {
				j.value(append(slices.Clone(at), rules.Index(i)), want[i], got[i])
			}
			return
		}
	case string:
		if got, ok := got.(string); ok {
			same = j.text(want, got)
		}
	case json.Number:
		if got, ok := got.(json.Number); ok {
			if came, bound := j.values.came[number(want)]; bound {
				same = came == number(got)
			} else {
				same = sameNumber(want.String(), got.String())
			}
		}
	default:
		same = want == got
	}
	if !same {
		j.differ(at.String(), at.General(), want, got)
	}
}

func (j *judge) object(at rules.Route, want, got map[string]any) {
	keys := maps.Clone(want)
	maps.Copy(keys, got)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		route := append(slices.Clone(at), rules.Key(key))
		w, ok := want[key]
		g, cameOK := got[key]
		switch {
		case ok && cameOK:
			j.value(route, w, g)
		case j.mayBeAbsent(route):
			j.masked++
		case ok:
			j.differ(route.String(), route.General(), w, missing{})
		default:
			j.differ(route.String(), route.General(), missing{}, g)
		}
	}
}

func (j *judge) mayBeAbsent(at rules.Route) bool {
	for _, m := range j.masks {
		if (m.Is == "absent" || m.Is == "any") && !m.Path.IsZero() && m.Path.Matches(at) && m.Allows(nil, nil) {
			return true
		}
	}
	return false
}

// text compares texts, except for what patterns allow to differ.
func (j *judge) text(want, got string) bool {
	if j.values.same(j.tx, want, got) {
		return true
	}
	for _, m := range j.masks {
		if m.Pattern.IsZero() {
			continue
		}
		rest, groups := cut(m.Pattern, want)
		cameRest, cameGroups := cut(m.Pattern, got)
		if len(groups) == 0 || rest != cameRest || len(groups) != len(cameGroups) {
			continue
		}
		ok := true
		for i, g := range groups {
			ok = ok && m.Allows(g, cameGroups[i])
			if ok && m.As != "" {
				ok = j.values.binds(j.tx, g, cameGroups[i])
				j.values.names[g] = "$" + m.As
			}
		}
		if ok {
			j.masked++
			return true
		}
	}
	return false
}

// cut removes what the groups of a pattern match from a text.
func cut(re rules.Regexp, text string) (rest string, groups []string) {
	var b strings.Builder
	at := 0
	for _, m := range re.FindAllStringSubmatchIndex(text, -1) {
		for i := 2; i+1 < len(m); i += 2 {
			if m[i] >= at {
				b.WriteString(text[at:m[i]] + "\x00")
				groups = append(groups, text[m[i]:m[i+1]])
				at = m[i+1]
			}
		}
	}
	return b.String() + text[at:], groups
}

// json compares texts that may be JSON.
func (j *judge) json(at rules.Route, want, got string) {
	w, ok := packet.Decode(want)
	g, cameOK := packet.Decode(got)
	if ok && cameOK {
		j.value(at, w, g)
	} else if !j.maskAt(at, want, got) && !j.text(want, got) {
		j.differ("body", "", want, got)
	}
}

// sameNumber compares by value: 3, 3.0 and 3e0 are equal. Integers of any length are
// compared exactly.
func sameNumber(a, b string) bool {
	if isWhole(a) && isWhole(b) {
		return a == b || zero(a) && zero(b)
	}
	precision := uint(512 + 4*(len(a)+len(b))) // bits
	x, _, err := big.ParseFloat(a, 10, precision, big.ToNearestEven)
	y, _, err2 := big.ParseFloat(b, 10, precision, big.ToNearestEven)
	if err != nil || err2 != nil {
		return a == b
	}
	return x.Cmp(y) == 0
}

func isWhole(n string) bool { return !strings.ContainsAny(n, ".eE") }

func zero(n string) bool { return n == "0" || n == "-0" }
