package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// maxTokenFile is the largest size of -token-file, in bytes.
const maxTokenFile = 4 << 10

// readToken returns a function that reports whether a request's query has the token
// that the file holds, as in SERVER_URL=http://server:5000?token=…. Without a file it
// returns nil: no token is needed.
func readToken(path string) (authorize func(*http.Request) bool, err error) {
	if path == "" {
		return nil, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("-token-file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxTokenFile {
		return nil, fmt.Errorf("-token-file %s is not a file of at most %d bytes", path, maxTokenFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("-token-file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return nil, fmt.Errorf("-token-file %s is empty; it must hold the token that clients send", path)
	}
	want := sha256.Sum256([]byte(token))
	return func(r *http.Request) bool {
		got := sha256.Sum256([]byte(r.URL.Query().Get("token")))
		return subtle.ConstantTimeCompare(got[:], want[:]) == 1
	}, nil
}
