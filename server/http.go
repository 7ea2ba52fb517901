package main

import (
	"io"
	"net/http"
	"strings"

	"counting/server/protocol"
)

// The pages that the original, a Flask application, answers with.
const (
	notFoundPage = "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n" +
		"<p>The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.</p>\n"
	notAllowedPage = "<!doctype html>\n<html lang=en>\n<title>405 Method Not Allowed</title>\n<h1>Method Not Allowed</h1>\n" +
		"<p>The method is not allowed for the requested URL.</p>\n"
)

// routes serves everything there is. ready returns nil, or why the numbers
// file cannot be written at the moment.
func routes(socketIO http.Handler, ready func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, protocol.Path):
			socketIO.ServeHTTP(w, r)
		case path == "/health":
			status(w, r, nil)
		case path == "/ready":
			status(w, r, ready())
		default:
			page(w, http.StatusNotFound, notFoundPage)
		}
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
		page(w, http.StatusOK, "OK")
	case http.MethodOptions:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		page(w, http.StatusOK, "")
	default:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		page(w, http.StatusMethodNotAllowed, notAllowedPage)
	}
}

func page(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, body)
}
