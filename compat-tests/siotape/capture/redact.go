package capture

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"counting/compat-tests/siotape/tape"
)

// A Redactor removes secrets from a recording: the values of cookies and of the
// Authorization header, and values in queries, forms and JSON whose names match. Each is
// replaced by REDACTED-1, REDACTED-2, … wherever it occurs, so that a replay can insert
// another value.
type Redactor struct {
	names *regexp.Regexp

	mu    sync.Mutex
	known map[string]string
}

// Secret is the default regular expression for the names of secrets.
const Secret = `(?i)token|secret|passw|authorization|api[-_]?key|session|credential|^auth$|^pid$`

// NewRedactor returns a Redactor for secrets whose names match a regular
// expression.
func NewRedactor(names string) (*Redactor, error) {
	re, err := regexp.Compile(names)
	if err != nil {
		return nil, err
	}
	return &Redactor{names: re, known: map[string]string{}}, nil
}

// learn adds a secret. It ignores short values, which may occur by chance.
func (r *Redactor) learn(value string) {
	const shortest = 4
	if len(value) < shortest || strings.HasPrefix(value, "REDACTED-") || r.known[value] != "" {
		return
	}
	r.known[value] = fmt.Sprintf("REDACTED-%d", len(r.known)+1)
}

func (r *Redactor) line(l *tape.Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.learnHeaders(l.Headers)
	r.learnURL(l.URL)
	if l.Packet != nil && !l.Binary {
		r.learnJSON(*l.Packet)
	}
	if x := l.HTTP; x != nil {
		r.learnHeaders(x.Headers)
		r.learnHeaders(x.ResponseHeaders)
		r.learnURL(x.URL)
		r.learnForm(x.Body)
		r.learnJSON(x.Body)
		r.learnJSON(x.Response)
	}
	if len(r.known) > 0 {
		r.replace(l)
	}
}

func (r *Redactor) learnHeaders(h tape.Headers) {
	for name, values := range h {
		for _, v := range values {
			switch {
			case name == "Cookie":
				cookies, _ := http.ParseCookie(v)
				for _, c := range cookies {
					r.learn(c.Value)
				}
			case name == "Set-Cookie":
				if c, err := http.ParseSetCookie(v); err == nil {
					r.learn(c.Value)
				}
			case name == "Authorization" || name == "Proxy-Authorization":
				_, credentials, _ := strings.Cut(v, " ")
				r.learn(credentials)
			case name != "Host" && !strings.HasPrefix(name, "Sec-") && !strings.HasPrefix(name, "Access-Control-") && r.names.MatchString(name):
				r.learn(v)
			}
		}
	}
}

func (r *Redactor) learnURL(u string) {
	if _, query, ok := strings.Cut(u, "?"); ok {
		r.learnForm(query)
	}
}

func (r *Redactor) learnForm(form string) {
	values, err := url.ParseQuery(form)
	if err != nil || strings.HasPrefix(form, "{") {
		return
	}
	for name, all := range values {
		if name != "sid" && r.names.MatchString(name) {
			for _, v := range all {
				r.learn(v)
			}
		}
	}
}

// learnJSON learns from the JSON in a text, which may follow a packet's prefix.
func (r *Redactor) learnJSON(text string) {
	i := strings.IndexAny(text, "[{")
	if i < 0 {
		return
	}
	var v any
	if json.Unmarshal([]byte(text[i:]), &v) == nil {
		r.learnValue("", v)
	}
}

func (r *Redactor) learnValue(name string, v any) {
	switch v := v.(type) {
	case string:
		if name != "" && name != "sid" && r.names.MatchString(name) {
			r.learn(v)
		}
	case []any:
		for _, e := range v {
			r.learnValue(name, e)
		}
	case map[string]any:
		for key, e := range v {
			r.learnValue(key, e)
		}
	}
}

// replace replaces secrets by their names.
func (r *Redactor) replace(l *tape.Line) {
	secrets := make([]string, 0, len(r.known))
	for secret := range r.known {
		secrets = append(secrets, secret)
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, secret := range secrets {
		escaped, _ := json.Marshal(secret)
		for _, form := range []string{string(escaped[1 : len(escaped)-1]), url.QueryEscape(secret), url.PathEscape(secret), secret} {
			pairs = append(pairs, form, r.known[secret])
		}
	}
	in := strings.NewReplacer(pairs...)
	headers := func(h tape.Headers) tape.Headers {
		other := tape.Headers{}
		for name, values := range h {
			for _, v := range values {
				other[name] = append(other[name], in.Replace(v))
			}
		}
		return other
	}
	l.URL = in.Replace(l.URL)
	if l.Headers != nil {
		l.Headers = headers(l.Headers)
	}
	if l.Packet != nil && !l.Binary {
		text := in.Replace(*l.Packet)
		l.Packet = &text
	}
	if l.More != nil {
		l.More.Response = in.Replace(l.More.Response)
	}
	if x := l.HTTP; x != nil {
		x.URL, x.Body, x.Response = in.Replace(x.URL), in.Replace(x.Body), in.Replace(x.Response)
		x.Headers, x.ResponseHeaders = headers(x.Headers), headers(x.ResponseHeaders)
	}
}
