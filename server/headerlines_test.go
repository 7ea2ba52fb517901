package main

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The lines up to the empty one that ends a header are counted, in whatever parts they
// arrive.
func TestHeaderLines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text  string
		lines int
		ended bool
	}{
		{"", 0, false},
		{"GET / HTTP/1.1\r\nHost: x\r\n", 2, false},
		{"GET / HTTP/1.1\r\nHost: x\r\n\r", 2, false},
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 3, true},
		{"GET / HTTP/1.1\nHost: x\n\n\n\nbody\n", 3, true},
		{"\r\n\n\r\nGET / HTTP/1.1\r\n\r\n4x\n\n", 5, true},
		{"\n\n\n", 3, false},
		{"G\n \n\r x\n\n", 4, true},
	} {
		for size := range len(tt.text) + 1 {
			var h headerLines
			rest := tt.text
			for size > 0 && len(rest) > size {
				h.count([]byte(rest[:size]))
				rest = rest[size:]
			}
			if h.count([]byte(rest)); h.lines != tt.lines || h.ended != tt.ended {
				t.Errorf("%q in parts of %d bytes: %d lines, ended %v, want %d, %v", tt.text, size, h.lines, h.ended, tt.lines, tt.ended)
			}
		}
	}
}

// The lines of a body are not those of the next header. Servers use a connection to forward
// requests of all clients: a body with many lines made another client's request fail.
func TestLinesOfABodyAreNotCounted(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for _, pause := range []time.Duration{0, 20 * time.Millisecond} {
		conn := s.dialTCP(t)
		in := bufio.NewReader(conn)
		for i := range 3 {
			for _, part := range []string{
				"POST /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
				strings.Repeat("\n", 500), strings.Repeat("\n", 500),
			} {
				io.WriteString(conn, part)
				time.Sleep(pause) // with one, the server is likely to receive the parts one by one
			}
			response, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("with pauses of %v, request %d: %v", pause, i+1, err)
			}
			if text, _ := io.ReadAll(response.Body); string(text) != `"Invalid session"` {
				t.Fatalf("with pauses of %v, request %d is answered %d, %s", pause, i+1, response.StatusCode, text)
			}
		}
	}
}

// A header whose last empty line is received after readAhead bytes, behind another request,
// is complete with it: the lines of its body, which come in the same read, do not count.
func TestLinesOfAPipelinedBodyAreNotCounted(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for pad := -3; pad <= 3; pad++ {
		conn := s.dialTCP(t)
		const post = "POST /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: x\r\nContent-Length: "
		text := post + "4\r\n\r\n4xxx" + post + "1000\r\nPad: "
		text += strings.Repeat("x", readAhead-len(text)-len("\r\n")+pad)
		io.WriteString(conn, text+"\r\n\r\n"+strings.Repeat("\n", 1000))
		in := bufio.NewReader(conn)
		for i := range 2 {
			response, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if text, _ := io.ReadAll(response.Body); string(text) != `"Invalid session"` {
				t.Errorf("with %d bytes more, request %d is answered %d, %s", pad, i+1, response.StatusCode, text)
			}
		}
	}
}

// All lines of a header that came with the end of a body are counted once it is complete.
func TestAHeaderBehindABodyHasABoundOfLines(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	conn := s.dialTCP(t)
	io.WriteString(conn, "POST /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\nHost: x\nContent-Length: 4\n\n4xxx"+
		"GET /health HTTP/1.1\nHost: x\n"+strings.Repeat("a:\n", maxHeaderLines+1)+"\n")
	in := bufio.NewReader(conn)
	for _, want := range []int{http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge} {
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != want {
			t.Errorf("it is answered %d, %v, want %d", response.StatusCode, err, want)
		}
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("the connection is not closed: %v", err)
	}
}
