package replay

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"counting/compat-tests/siotape/packet"
	"counting/compat-tests/siotape/tape"
)

// Values shorter than this are replaced only where a rule names them: a short
// text may occur by chance.
const minToken, minNumber = 8, 6

// values know which value came where another one was recorded: the ids of
// sessions, what rules name, and what was taken out of a recording.
type values struct {
	came     map[string]string // by what was recorded
	recorded map[string]string // by what came
	names    map[string]string // of recorded values that may be others
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

// bind takes down that some values came for others.
func (v *values) bind(came map[string]string) {
	for want, got := range came {
		v.came[want], v.recorded[got] = got, want
	}
}

// binds adds to tx that got came for want, unless either stands for another
// value already.
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

// redacted are the values that were taken out of a recording.
var redacted = regexp.MustCompile(`REDACTED-\d+`)

// tokens are the values within a recorded text that may be others, in order.
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

// same reports whether a text is the recorded one, with other values where it
// may have them.
func (v *values) same(tx map[string]string, want, got string) bool {
	tokens := v.tokens(want)
	if len(tokens) == 0 {
		return want == got
	}
	// A pattern of the text, with a group for each token.
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

// number is how a number is kept among the values.
func number(n json.Number) string { return "#" + n.String() }

// substitute puts what came in the place of what was recorded, in something
// that a client sends. Quote writes a value as it stands in there.
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

// inJSON writes a text as it stands within a JSON string.
func inJSON(text string) string {
	b, _ := json.Marshal(text)
	return string(b[1 : len(b)-1])
}
