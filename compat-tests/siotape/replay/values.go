package replay

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"counting/compat-tests/siotape/packet"
	"counting/compat-tests/siotape/tape"
)

// Values shorter than this are replaced only if a rule names them, as a short text may
// occur by chance.
const minToken, minNumber = 8, 6

// values maps recorded values to received ones: session ids, values that rules name, and
// redacted values.
type values struct {
	came     map[string]string // by recorded value
	recorded map[string]string // by received value
	names    map[string]string // of recorded values that may differ
}

func newValues(r *tape.Recording, given map[string]string) *values {
	v := &values{came: map[string]string{}, recorded: map[string]string{}, names: map[string]string{}}
	for _, l := range r.Lines {
		if l.From != tape.Server || l.Packet == nil || l.Binary {
			continue
		}
		p := packet.Parse(*l.Packet)
		name := "$" + l.Session
		switch p.Kind {
		case packet.Handshake:
		case packet.Connect:
			name += p.Namespace
		default:
			continue
		}
		body, _ := p.Body.(map[string]any)
		for _, key := range []string{"sid", "pid"} {
			if id, ok := body[key].(string); ok && id != "" {
				v.names[id] = name + "." + key
			}
		}
	}
	for name, value := range given {
		v.names[name] = name
		v.bind(map[string]string{name: value})
	}
	return v
}

// bind adds received values.
func (v *values) bind(came map[string]string) {
	for want, got := range came {
		v.came[want], v.recorded[got] = got, want
	}
}

// binds adds want and got to tx. It returns false if either of them is bound to another
// value.
func (v *values) binds(tx map[string]string, want, got string) bool {
	if bound, ok := v.came[want]; ok {
		return bound == got
	}
	if bound, ok := tx[want]; ok {
		return bound == got
	}
	if other, ok := v.recorded[got]; ok && other != want {
		return false
	}
	tx[want] = got
	return true
}

// redacted matches the names of redacted values.
var redacted = regexp.MustCompile(`REDACTED-\d+`)

// tokens returns the values in a recorded text that may differ, longest first.
func (v *values) tokens(text string) []string {
	if len(text) < minToken {
		return nil
	}
	var all []string
	for token := range v.names {
		if len(token) >= minToken && strings.Contains(text, token) {
			all = append(all, token)
		}
	}
	for _, token := range redacted.FindAllString(text, -1) {
		if v.names[token] == "" {
			all = append(all, token)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// same reports whether a text is equal to the recorded one, except for values that may
// differ.
func (v *values) same(tx map[string]string, want, got string) bool {
	tokens := v.tokens(want)
	if len(tokens) == 0 {
		return want == got
	}
	// The pattern matches the text, with a group for each token.
	quoted := make([]string, len(tokens))
	for i, t := range tokens {
		quoted[i] = regexp.QuoteMeta(t)
	}
	find := regexp.MustCompile(strings.Join(quoted, "|"))
	var pattern strings.Builder
	pattern.WriteString("(?s)^")
	var groups []string
	at := 0
	for _, m := range find.FindAllStringIndex(want, -1) {
		pattern.WriteString(regexp.QuoteMeta(want[at:m[0]]))
		token := want[m[0]:m[1]]
		if came, ok := v.came[token]; ok {
			pattern.WriteString(regexp.QuoteMeta(came))
		} else {
			pattern.WriteString("(.+?)")
			groups = append(groups, token)
		}
		at = m[1]
	}
	pattern.WriteString(regexp.QuoteMeta(want[at:]) + "$")
	re, err := regexp.Compile(pattern.String())
	if err != nil {
		return want == got
	}
	m := re.FindStringSubmatch(got)
	if m == nil {
		return false
	}
	for i, token := range groups {
		if !v.binds(tx, token, m[i+1]) {
			return false
		}
	}
	return true
}

// number returns the key of a number in values.
func number(n json.Number) string { return "#" + n.String() }

// substitute replaces recorded values by received ones in what a client sends. quote
// encodes a value as in that text.
func (v *values) substitute(text string, quote func(string) string) string {
	var pairs []string
	wants := make([]string, 0, len(v.came))
	for want := range v.came {
		wants = append(wants, want)
	}
	slices.SortFunc(wants, func(a, b string) int { return len(b) - len(a) })
	for _, want := range wants {
		got := v.came[want]
		if want == got {
			continue
		}
		if n, ok := strings.CutPrefix(want, "#"); ok {
			if named := v.names[want] != ""; named || len(n) >= minNumber {
				text = replaceNumber(text, n, strings.TrimPrefix(got, "#"))
			}
			continue
		}
		switch {
		case len(want) >= minToken:
			pairs = append(pairs, quote(want), quote(got))
		case v.names[want] != "":
			pairs = append(pairs, `"`+quote(want)+`"`, `"`+quote(got)+`"`)
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

func replaceNumber(text, want, got string) string {
	re := regexp.MustCompile(`([\[:,\s])` + regexp.QuoteMeta(want) + `([\],}\s])`)
	// Twice: neighbours share the character between them.
	return re.ReplaceAllString(re.ReplaceAllString(text, "${1}"+got+"${2}"), "${1}"+got+"${2}")
}

// inJSON encodes a text as the content of a JSON string.
func inJSON(text string) string {
	b, _ := json.Marshal(text)
	return string(b[1 : len(b)-1])
}
