package engineio

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// answered is a ResponseWriter that records deadlines, and fails to write with err.
type answered struct {
	*httptest.ResponseRecorder
	err         error
	read, write []time.Time
}

func (a *answered) SetReadDeadline(t time.Time) error {
	a.read = append(a.read, t)
	return nil
}

func (a *answered) SetWriteDeadline(t time.Time) error {
	a.write = append(a.write, t)
	return nil
}

func (a *answered) Write(b []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	return a.ResponseRecorder.Write(b)
}

// A body that cannot be received is answered with the reason, and the session goes on.
func TestBodiesThatCannotBeReceived(t *testing.T) {
	t.Parallel()
	cut := iotest.ErrReader(io.ErrUnexpectedEOF)
	for _, tt := range []struct {
		name, method string
		body         io.Reader
		status       int
		text         string
		limit        Limit
		retry        bool
	}{
		{"a poll that is cut off", "GET", cut, 400, `"the body is incomplete"`, "", false},
		{"a poll with a body", "GET", strings.NewReader("x"), 200, "4x", "", false},
		{"a post that is cut off", "POST", cut, 400, `"the body is incomplete"`, "", false},
		{"the longest post", "POST", strings.NewReader("4" + strings.Repeat("x", 9_999)), 200, "OK", "", false},
		{"one that is longer", "POST", strings.NewReader("4" + strings.Repeat("x", 10_000)), 413, "the body is larger than 10000 bytes", LimitPayload, false},
		{"one that is not a payload", "POST", strings.NewReader("x"), 200, "OK", "", false},
	} {
		s := start(t, Options{MaxPayload: 10_000})
		sid := s.opens()
		s.opened(sid).Send("x")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(tt.method, "/?EIO=4&transport=polling"+sid, tt.body))
		if w.Code != tt.status || w.Body.String() != tt.text {
			t.Errorf("%s: it is answered %d, %q; want %d, %q", tt.name, w.Code, w.Body, tt.status, tt.text)
		}
		if tt.limit != "" && s.reached(tt.limit) != 1 {
			t.Errorf("%s: the limit %s was reached %d times", tt.name, tt.limit, s.reached(tt.limit))
		}
		if receiving, _ := s.Usage(); receiving != 0 || s.Sessions() != 1 {
			t.Errorf("%s: %d bytes are counted, and %d sessions open", tt.name, receiving, s.Sessions())
		}
	}
}

// A post for which there is no memory may be tried again, on another connection.
func TestPostsOverTheBudget(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Limits: Limits{Receiving: 1}})
	sid := s.opens()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", "/?EIO=4&transport=polling"+sid, strings.NewReader("4"+strings.Repeat("x", 2*allowance))))
	h := w.Result().Header
	if w.Code != 503 || w.Body.String() != "too many bytes are being received" || h.Get("Retry-After") != "1" || h.Get("Connection") != "close" {
		t.Errorf("it is answered %d, %q, %v", w.Code, w.Body, h)
	}
	if n := s.reached(LimitReceiving); n != 1 {
		t.Errorf("the limit was reached %d times", n)
	}
}

// A body that is ignored is logged, for those who look for it.
func TestIgnoredBodiesAreLogged(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	s := start(t, Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	s.request("POST", s.opens(), "x")
	if !strings.Contains(log.String(), `msg="ignored a request body: a packet of type 'x'" address=127.0.0.1`) {
		t.Errorf("the log has\n%s", &log)
	}
}

// A poll may wait for as long as nothing is sent, and its answer must be received in time.
// The connection has no deadline after that.
func TestTheTimeForAPoll(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	sid := s.opens()
	s.opened(sid).Send("x")
	w := &answered{ResponseRecorder: httptest.NewRecorder()}
	now := time.Now()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/?EIO=4&transport=polling"+sid, nil))
	if len(w.read) != 1 || !w.read[0].IsZero() {
		t.Errorf("the deadlines for reading are %v", w.read)
	}
	if len(w.write) != 2 || w.write[0].Sub(now) < writeTimeout || !w.write[1].IsZero() {
		t.Errorf("the deadlines for writing are %v, now is %v", w.write, now)
	}
	if !w.Flushed || w.Body.String() != "4x" {
		t.Errorf("it is answered %q, flushed: %t", w.Body, w.Flushed)
	}
}

// A session ends if the answer to its poll cannot be sent, and if a poll is cut off.
func TestPollsThatFail(t *testing.T) {
	t.Parallel()
	for name, poll := range map[string]func(*testServer, *http.Request){
		"the answer": func(s *testServer, r *http.Request) {
			s.opened("&sid=" + r.URL.Query().Get("sid")).Send("x")
			s.ServeHTTP(&answered{ResponseRecorder: httptest.NewRecorder(), err: errors.New("cut off")}, r)
		},
		"the wait": func(s *testServer, r *http.Request) {
			ctx, cancel := context.WithCancel(r.Context())
			cancel()
			s.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
		},
	} {
		s := start(t, Options{})
		sid := s.opens()
		session := s.opened(sid)
		poll(s, httptest.NewRequest("GET", "/?EIO=4&transport=polling"+sid, nil))
		waitFor(t, name+": the session to end", func() bool { return s.open.Load() == 0 && s.Sessions() == 0 })
		session.mu.Lock()
		if session.waiting != nil {
			t.Errorf("%s: a poll that has ended is still said to wait", name)
		}
		session.mu.Unlock()
	}
}

// Of two polls at the same time, the first one is answered CLOSE, and the session ends.
func TestTwoPollsAtTheSameTime(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	sid := s.opens()
	session := s.opened(sid)
	first := make(chan string, 1)
	go func() {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/?EIO=4&transport=polling"+sid, nil))
		first <- w.Body.String()
	}()
	waitForPoll(t, session)
	if status, text := s.request("GET", sid, ""); status != 400 || text != `"Bad Request"` {
		t.Errorf("the second poll is answered %d, %q", status, text)
	}
	if text := <-first; text != "1" {
		t.Errorf("the first poll is answered %q", text)
	}
	waitFor(t, "the session to end", func() bool { return s.open.Load() == 0 && s.Sessions() == 0 })
}

// farewell is a Handler that says bye.
type farewell struct{ session *Session }

func (farewell) Message([]byte, bool) {}

func (farewell) Heartbeat() {}

func (f farewell) Close(string) { f.session.Send("bye") }

// A client that leaves gets what the handler sends it at the end; one that is ended, also
// for what it has sent, does not.
func TestTheLastPoll(t *testing.T) {
	t.Parallel()
	for last, want := range map[string]string{"1": "4bye", "9": "6", "": "6"} {
		s := New(func(session *Session) Handler { return farewell{session} }, Options{})
		t.Cleanup(s.Close)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/?EIO=4", nil))
		s.mu.Lock()
		var session *Session
		for _, session = range s.sessions {
		}
		s.mu.Unlock()
		answer := make(chan string, 1)
		go func() {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest("GET", "/?EIO=4&sid="+session.ID(), nil))
			answer <- w.Body.String()
		}()
		waitForPoll(t, session)
		if last == "" {
			session.Close("it is ended")
		} else {
			s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/?EIO=4&sid="+session.ID(), strings.NewReader(last)))
		}
		if got := <-answer; got != want {
			t.Errorf("after %q the last poll is answered %q, want %q", last, got, want)
		}
		session.Send("too late")
		session.mu.Lock()
		if len(session.queue) > 0 {
			t.Errorf("after %q and the last poll, %d packets are queued", last, len(session.queue))
		}
		session.mu.Unlock()
	}
}
