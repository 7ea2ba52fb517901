package replay

import (
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"counting/compat-tests/siotape/tape"
)

// exchange compares HTTP responses.
func (j *judge) exchange(want, got *tape.Exchange, all bool) {
	if want.Status != got.Status {
		j.differ("status", "", want.Status, got.Status)
	}
	j.headers(want, got, all)
	response := got.Response
	if want.Incomplete {
		response = response[:min(len(response), len(want.Response))]
	}
	if want.Response != AnyResponse {
		j.json(nil, want.Response, response)
	}
}

// AnyResponse, as the response in an Expectation, means that the body is not compared.
const AnyResponse = "*"

// headers compares the media type and the other headers: all of them, or only the recorded
// ones.
func (j *judge) headers(want, got *tape.Exchange, all bool) {
	if !j.masksHeader("Content-Type", want.ContentType, got.ContentType) && !sameMediaType(want.ContentType, got.ContentType) {
		j.differ("header Content-Type", "Content-Type", want.ContentType, got.ContentType)
	}
	j.fields(want.ResponseHeaders, got.ResponseHeaders, all)
}

func (j *judge) fields(want, got tape.Headers, all bool) {
	names := want.Names()
	if all {
		names = append(names, got.Names()...)
		slices.Sort(names)
		names = slices.Compact(names)
	}
	for _, name := range names {
		if name == "Content-Type" || slices.Contains(tape.Never, name) {
			continue
		}
		w, g := want[name], got[name]
		for i := range max(len(w), len(g)) {
			var a, b any = missing{}, missing{}
			if i < len(w) {
				a = w[i]
			}
			if i < len(g) {
				b = g[i]
			}
			if !j.field(name, a, b) {
				j.differ("header "+name, name, a, b)
			}
		}
	}
}

func (j *judge) field(name string, want, got any) bool {
	w, ok := want.(string)
	g, cameOK := got.(string)
	if !ok || !cameOK {
		return j.masksHeader(name, want, got)
	}
	return j.values.same(j.tx, w, g) || j.masksHeader(name, w, g) || name == "Set-Cookie" && j.cookie(w, g)
}

func (j *judge) masksHeader(name string, want, got any) bool {
	for _, m := range j.masks {
		if m.Header == "" || !strings.EqualFold(m.Header, name) {
			continue
		}
		_, gone := want.(missing)
		_, goneNow := got.(missing)
		if gone || goneNow {
			if (m.Is == "absent" || m.Is == "any") && m.Allows(nil, nil) {
				j.masked++
				return true
			}
			continue
		}
		w, g := want.(string), got.(string)
		if m.Is == "absent" || !m.Allows(w, g) || m.As != "" && !j.values.binds(j.tx, w, g) {
			continue
		}
		if m.As != "" {
			j.values.names[w] = "$" + m.As
		}
		if w != g {
			j.masked++
		}
		return true
	}
	return false
}

// cookie compares Set-Cookie fields. A value that looks like a token may be another token,
// and the time of expiry may differ.
func (j *judge) cookie(want, got string) bool {
	w, err := http.ParseSetCookie(want)
	g, err2 := http.ParseSetCookie(got)
	if err != nil || err2 != nil || w.Name != g.Name {
		return false
	}
	if !j.values.same(j.tx, w.Value, g.Value) {
		if !isToken(w.Value) || !isToken(g.Value) || !j.values.binds(j.tx, w.Value, g.Value) {
			return false
		}
		j.masked++
		j.values.names[w.Value] = "$cookie." + w.Name
	}
	// Max-Age takes precedence over Expires.
	if w.MaxAge == 0 && w.Expires.IsZero() != g.Expires.IsZero() {
		return false
	}
	return slices.Equal(attributes(w), attributes(g))
}

func attributes(c *http.Cookie) []string {
	return []string{c.Path, c.Domain, strconv.Itoa(c.MaxAge), fmt.Sprint(c.Secure, c.HttpOnly, c.SameSite, c.Partitioned)}
}

// isToken reports whether a text looks like a value that a server generated.
func isToken(text string) bool {
	const shortest = 16
	return len(text) >= shortest && strings.ContainsAny(text, "0123456789") &&
		strings.ContainsFunc(text, func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }) &&
		!strings.ContainsAny(text, " ")
}

func sameMediaType(a, b string) bool {
	t, params, err := mime.ParseMediaType(strings.ToLower(a))
	u, params2, err2 := mime.ParseMediaType(strings.ToLower(b))
	if err != nil || err2 != nil {
		return a == b
	}
	return t == u && maps.Equal(params, params2)
}
