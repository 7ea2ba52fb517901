package main

import (
	"bytes"
	"errors"
	"net/http"
)

// maxHeaderLines is how many lines the header of a request may have, including empty
// lines before it. net/http's limit on bytes is not enough: a line of 4 bytes takes 30
// times as much memory.
const maxHeaderLines = 150

// readAhead is how much one read into net/http's buffer, of bufioSize, returns: so much of a
// header may come with the end of another request, where its lines are not counted.
const (
	readAhead = 512
	bufioSize = 4 << 10
)

var errHeaderLines = errors.New("the request's header has too many lines")

// headerLines counts the lines of a header while it is received. Its zero value is before
// the first line.
type headerLines struct {
	lines int
	text  bool // the current line has more than a carriage return
	begun bool // a line had
	ended bool // by an empty line
}

// count counts the lines in b, up to the end of the header.
func (h *headerLines) count(b []byte) {
	for !h.ended {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		h.text = h.text || len(line) > 1 || len(line) == 1 && line[0] != '\r'
		if !whole {
			return
		}
		h.lines++
		h.ended = h.begun && !h.text
		h.begun = h.begun || h.text
		h.text, b = false, rest
	}
}

// limitLines refuses requests whose header has more than most lines. A part of a header that
// came together with the end of another request is counted only here.
func limitLines(most int, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lines := 0
		for _, values := range r.Header {
			lines += len(values)
		}
		if lines > most {
			w.Header().Set("Connection", "close")
			http.Error(w, errHeaderLines.Error(), http.StatusRequestHeaderFieldsTooLarge)
			return
		}
		next.ServeHTTP(w, r)
	})
}
