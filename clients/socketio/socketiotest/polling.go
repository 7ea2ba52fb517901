package socketiotest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Polling serves scripted sessions by polling and refuses WebSockets, as the
// original does without eventlet. It is an http.Handler for the path /socket.io/.
type Polling struct {
	tb     testing.TB
	script func(n int, s *Session)

	mu       sync.Mutex
	sessions []*pollingSession
	running  sync.WaitGroup
}

type pollingSession struct {
	in, out chan string
	gone    chan struct{} // closed when the client has left, or the script returned
	leave   func()
}

// ServePolling is Serve for polling.
func ServePolling(tb testing.TB, script func(n int, s *Session)) *url.URL {
	server := httptest.NewServer(NewPolling(tb, script))
	tb.Cleanup(server.Close)
	return mustParse(tb, server.URL)
}

// NewPolling returns a handler that runs script for each session, with its
// number from 0 on, until the test ends.
func NewPolling(tb testing.TB, script func(n int, s *Session)) *Polling {
	p := &Polling{tb: tb, script: script}
	tb.Cleanup(func() {
		p.mu.Lock()
		for _, s := range p.sessions {
			s.leave()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

func (p *Polling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("transport") != "polling" || r.FormValue("EIO") != "4" || r.URL.Path != "/socket.io/" {
		http.Error(w, "Invalid transport", http.StatusBadRequest)
		return
	}
	s := p.session(r.FormValue("sid"))
	switch {
	case s == nil:
		http.Error(w, "Invalid session", http.StatusBadRequest)
	case r.Method == http.MethodPost:
		if r.ContentLength < 0 {
			p.tb.Error("the body has no length, which Flask's server takes for an empty one")
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		for packet := range strings.SplitSeq(string(body), "\x1e") {
			if packet == "1" {
				s.leave()
				break
			}
			select {
			case s.in <- packet:
			case <-s.gone:
			}
		}
		io.WriteString(w, "OK")
	default:
		s.poll(w, r)
	}
}

// session returns the session of that id, a new one for "", and nil if none has
// it.
func (p *Polling) session(sid string) *pollingSession {
	p.mu.Lock()
	defer p.mu.Unlock()
	if sid != "" {
		var n int
		if _, err := fmt.Sscan(sid, &n); err != nil || n >= len(p.sessions) {
			return nil
		}
		return p.sessions[n]
	}
	n, gone := len(p.sessions), make(chan struct{})
	s := &pollingSession{in: make(chan string, 100), out: make(chan string, 20_000), gone: gone,
		leave: sync.OnceFunc(func() { close(gone) })}
	p.sessions = append(p.sessions, s)
	p.running.Go(func() {
		defer s.leave()
		p.script(n, &Session{tb: p.tb,
			write: func(frame string) {
				// The id is this server's to give.
				s.out <- strings.Replace(frame, `0{"sid":"x"`, fmt.Sprintf(`0{"sid":"%d"`, n), 1)
			},
			read: func() (string, bool) {
				select {
				case frame := <-s.in:
					return frame, true
				case <-s.gone:
					select {
					case frame := <-s.in: // what came before it left
						return frame, true
					default:
						return "", false
					}
				}
			}})
	})
	return s
}

// poll answers with all that waits, or with the next packet.
func (s *pollingSession) poll(w http.ResponseWriter, r *http.Request) {
	var payload []string
	select {
	case packet := <-s.out:
		payload = append(payload, packet)
	case <-s.gone:
		http.Error(w, "Invalid session", http.StatusBadRequest)
		return
	case <-r.Context().Done():
		return
	}
	for len(payload) < 16 && len(s.out) > 0 && !strings.HasPrefix(payload[0], "0") {
		payload = append(payload, <-s.out)
	}
	io.WriteString(w, strings.Join(payload, "\x1e"))
}
