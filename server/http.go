package main

import (
	"io"
	"maps"
	"net/http"
	"strings"

	"counting/server/live"
	"counting/server/page"
	"counting/server/protocol"
	"counting/server/store"
)

// The error pages of the original, a Flask application.
const (
	notFoundPage = "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n" +
		"<p>The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.</p>\n"
	notAllowedPage = "<!doctype html>\n<html lang=en>\n<title>405 Method Not Allowed</title>\n<h1>Method Not Allowed</h1>\n" +
		"<p>The method is not allowed for the requested URL.</p>\n"
)

// readOnlyPaths returns the handlers of the read-only endpoints, by path. In faithful
// mode there is only /metrics: the original has no page.
func readOnlyPaths(g *games) map[string]http.Handler {
	paths := map[string]http.Handler{"/metrics": g.metrics}
	if !g.config.faithful {
		maps.Copy(paths, page.Files())
		paths["/"] = g.read(paths["/"].ServeHTTP)
		paths["/games"] = g.readAll((&overview{games: g}).negotiate(paths["/games"]))
		paths["/events"] = g.readFeed((*live.Feed).ServeEvents)
		paths["/state"] = g.readFeed((*live.Feed).ServeState)
		paths["/numbers.txt"] = g.readFeed((*live.Feed).ServeFile)
	}
	for path, handler := range paths {
		paths[path] = readOnly(handler, g.config.frameAncestors)
	}
	return paths
}

// readFeed serves a method of the feed of the game that the query names.
func (g *games) readFeed(serve func(*live.Feed, http.ResponseWriter, *http.Request)) http.Handler {
	return g.readGame(func(o *openGame, w http.ResponseWriter, r *http.Request) { serve(o.feed, w, r) })
}

// read serves a response that is the same for each existing game.
func (g *games) read(serve http.HandlerFunc) http.Handler {
	return g.readGame(func(_ *openGame, w http.ResponseWriter, r *http.Request) { serve(w, r) })
}

// readGame opens the game that the query names, if it exists, while serve is called.
func (g *games) readGame(serve func(*openGame, http.ResponseWriter, *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, err := gameOf(r.URL.RawQuery)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		g.answer(w, r, name, func(o *openGame) { serve(o, w, r) })
	})
}

// readAll serves a response about all games. If another server owns all games, the
// request is forwarded to it.
func (g *games) readAll(serve http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.standsBy() {
			serve.ServeHTTP(w, r)
			return
		}
		g.answer(w, r, store.Default, func(*openGame) { serve.ServeHTTP(w, r) })
	})
}

// answer serves a reader here or by the owner of the game, or answers with an error.
func (g *games) answer(w http.ResponseWriter, r *http.Request, name string, local func(*openGame)) {
	if err := g.serve(w, r, name, false, local); err != nil {
		status, message := refusalOf(name, err)
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "5")
		}
		http.Error(w, message, status)
	}
}

// routes returns the handler of all paths. ready returns nil, or why the numbers file
// cannot be written.
func routes(socketIO http.Handler, ready func(*http.Request) error, readOnly map[string]http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A proxy may add a second slash at the beginning.
		switch path := "/" + strings.TrimLeft(r.URL.Path, "/"); {
		case strings.HasPrefix(path, protocol.Path):
			socketIO.ServeHTTP(w, r)
		case path == "/health":
			status(w, r, nil)
		case path == "/ready":
			status(w, r, ready(r))
		case readOnly[path] != nil:
			readOnly[path].ServeHTTP(w, r)
		default:
			answer(w, http.StatusNotFound, notFoundPage)
		}
	})
}

// readOnly restricts a handler to GET and HEAD, and adds security headers. A browser
// shows the response in a frame only within pages of frameAncestors.
func readOnly(handler http.Handler, frameAncestors []string) http.Handler {
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

// status answers a probe: 200 and OK, or 503 and the error.
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
