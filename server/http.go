package main

import (
	"io"
	"maps"
	"net/http"
	"strings"

	"counting/server/live"
	"counting/server/page"
	"counting/server/protocol"
)

// The pages that the original, a Flask application, answers with.
const (
	notFoundPage = "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n" +
		"<p>The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.</p>\n"
	notAllowedPage = "<!doctype html>\n<html lang=en>\n<title>405 Method Not Allowed</title>\n<h1>Method Not Allowed</h1>\n" +
		"<p>The method is not allowed for the requested URL.</p>\n"
)

// watching returns the handlers, by path, for those who watch the count. In
// faithful mode that is only what Prometheus needs: the original has no page.
func watching(c config, feed *live.Feed, counts http.Handler) map[string]http.Handler {
	paths := map[string]http.Handler{"/metrics": counts}
	if !c.faithful {
		paths["/events"] = http.HandlerFunc(feed.ServeEvents)
		paths["/state"] = http.HandlerFunc(feed.ServeState)
		paths["/numbers.txt"] = http.HandlerFunc(feed.ServeFile)
		maps.Copy(paths, page.Files())
	}
	for path, handler := range paths {
		paths[path] = watch(handler, c.frameAncestors)
	}
	return paths
}

// routes serves everything there is. ready returns nil, or why the numbers
// file cannot be written at the moment.
func routes(socketIO http.Handler, ready func() error, watching map[string]http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A proxy may put a slash in front of one that is there already.
		switch path := "/" + strings.TrimLeft(r.URL.Path, "/"); {
		case strings.HasPrefix(path, protocol.Path):
			socketIO.ServeHTTP(w, r)
		case path == "/health":
			status(w, r, nil)
		case path == "/ready":
			status(w, r, ready())
		case watching[path] != nil:
			watching[path].ServeHTTP(w, r)
		default:
			answer(w, http.StatusNotFound, notFoundPage)
		}
	})
}

// watch restricts a handler to reading requests and adds security headers. A
// browser shows the response within another page only if that page is one of
// frameAncestors.
func watch(handler http.Handler, frameAncestors []string) http.Handler {
	ancestors := "'none'"
	if len(frameAncestors) > 0 {
		ancestors = strings.Join(frameAncestors, " ")
	}
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors " + ancestors
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			answer(w, http.StatusMethodNotAllowed, notAllowedPage)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		if len(frameAncestors) == 0 {
			h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
		}
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		handler.ServeHTTP(w, r)
	})
}

// status answers a probe: 200 and OK, or 503 and what is wrong.
func status(w http.ResponseWriter, r *http.Request, err error) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		answer(w, http.StatusOK, "OK")
	case http.MethodOptions:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		answer(w, http.StatusOK, "")
	default:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		answer(w, http.StatusMethodNotAllowed, notAllowedPage)
	}
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, body)
}
