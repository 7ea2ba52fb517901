package engineio

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// Refuse answers a handshake that is refused, with the message as a JSON string.
// retry says that the client may try again later.
func Refuse(w http.ResponseWriter, status int, message string, retry bool) {
	if retry {
		w.Header().Set("Retry-After", retryAfter)
	}
	refuse(w, status, message)
}

// RefuseSession answers a request of a session that does not exist.
func RefuseSession(w http.ResponseWriter) { refuse(w, http.StatusBadRequest, "Invalid session") }

// retryAfter is the value of Retry-After for clients that were refused, in seconds.
const retryAfter = "5"

// allowOrigin sets the CORS headers that python-engineio sets.
func allowOrigin(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Vary", "Origin")
	}
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "OPTIONS, GET, POST")
	}
	if headers := r.Header.Get("Access-Control-Request-Headers"); headers != "" {
		h.Set("Access-Control-Allow-Headers", headers)
	}
	h.Set("Access-Control-Allow-Credentials", "true")
}

// jsonpIndex returns the index of a JSONP request, "" for other requests, or false if
// the index is not a number.
func jsonpIndex(query url.Values) (string, bool) {
	j := first(query, "j", "")
	if j == "" {
		return "", true
	}
	n, err := strconv.Atoi(j)
	return strconv.Itoa(n), err == nil
}

// first returns the first non-empty value of a query parameter.
func first(query url.Values, key, otherwise string) string {
	if values := nonEmpty(query[key]); len(values) > 0 {
		return values[0]
	}
	return otherwise
}

// nonEmpty returns the values as Python's parse_qs does, which drops empty ones.
func nonEmpty(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
}

// refuse answers with a message in JSON, as python-engineio does.
func refuse(w http.ResponseWriter, status int, message string) {
	text, _ := json.Marshal(message)
	plain(w, status, string(text))
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(status)
	io.WriteString(w, text)
}
