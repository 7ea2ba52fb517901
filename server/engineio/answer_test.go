package engineio

import (
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Requests that open no session are answered like python-engineio answers them, and all
// that pass the first checks have its CORS headers.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const page = "https://page.example"
	origin := map[string]string{"Access-Control-Allow-Origin": page, "Vary": "Origin", "Access-Control-Allow-Credentials": "true"}
	anyone := map[string]string{"Access-Control-Allow-Credentials": "true"}
	options := maps.Clone(anyone)
	options["Access-Control-Allow-Methods"] = "OPTIONS, GET, POST"
	preflight := maps.Clone(origin)
	maps.Copy(preflight, options)
	preflight["Access-Control-Allow-Headers"] = "X-A, X-B"
	for _, tt := range []struct {
		name, method, query string
		header              map[string]string
		o                   Options
		status              int
		body                string
		cors                map[string]string
	}{
		{name: "no version", method: "GET", status: 400, body: `"The client is using an unsupported version of the Socket.IO or Engine.IO protocols"`},
		{name: "an old version", method: "GET", query: "EIO=3", status: 400, body: `"The client is using an unsupported version of the Socket.IO or Engine.IO protocols"`},
		{name: "two versions", method: "GET", query: "EIO=4&EIO=4", status: 400, body: `"The client is using an unsupported version of the Socket.IO or Engine.IO protocols"`},
		{name: "another transport", method: "GET", query: "EIO=4&transport=smoke", status: 400, body: `"Invalid transport"`},
		{name: "another page", method: "GET", query: "EIO=4", header: map[string]string{"Origin": page}, o: Options{Origins: []string{"https://other.example"}}, status: 400, body: `"Not an accepted origin."`},
		{name: "a page", method: "PUT", query: "EIO=4", header: map[string]string{"Origin": page}, o: Options{Origins: []string{page}}, status: 405, body: "Method Not Found", cors: origin},
		{name: "no page", method: "PUT", query: "EIO=4", o: Options{Origins: []string{page}}, status: 405, body: "Method Not Found", cors: anyone},
		{name: "options", method: "OPTIONS", query: "EIO=4", status: 200, body: "OK", cors: options},
		{name: "a preflight", method: "OPTIONS", query: "EIO=4", header: map[string]string{"Origin": page, "Access-Control-Request-Headers": "X-A, X-B"}, status: 200, body: "OK", cors: preflight},
		{name: "JSONP without an index", method: "GET", query: "EIO=4&j=x", status: 400, body: `"Invalid JSONP index number"`, cors: anyone},
		{name: "POST without a session", method: "POST", query: "EIO=4", status: 400, body: `"Invalid session"`, cors: anyone},
		{name: "WebSocket without an upgrade", method: "GET", query: "EIO=4&transport=websocket", status: 400, body: `"Invalid websocket upgrade"`, cors: anyone},
		{name: "an unknown session", method: "GET", query: "EIO=4&sid=x", status: 400, body: `"Invalid session"`, cors: anyone},
		{name: "an unknown session without a version", method: "POST", query: "sid=x", status: 400, body: `"Invalid session"`, cors: anyone},
		{name: "an unknown session elsewhere", method: "GET", query: "EIO=4&sid=x", o: Options{Unknown: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { plain(w, 418, "elsewhere") })},
			status: 418, body: "elsewhere", cors: anyone},
		{name: "full", method: "GET", query: "EIO=4", o: Options{Admit: func(w http.ResponseWriter, _ *http.Request, _ func(string)) { Refuse(w, 503, "full", true) }},
			status: 503, body: `"full"`, cors: anyone},
		{name: "not allowed", method: "GET", query: "EIO=4", o: Options{Admit: func(w http.ResponseWriter, _ *http.Request, _ func(string)) { Refuse(w, 403, "no", false) }},
			status: 403, body: `"no"`, cors: anyone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, tt.o)
			r := httptest.NewRequest(tt.method, "/?"+tt.query, nil)
			for name, value := range tt.header {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			h := w.Result().Header
			if w.Code != tt.status || w.Body.String() != tt.body || h.Get("Content-Type") != "text/plain" {
				t.Errorf("it is answered %d, %q, %s; want %d, %q", w.Code, w.Body, h.Get("Content-Type"), tt.status, tt.body)
			}
			if retry := h.Get("Retry-After"); (retry != "") != (tt.status == 503) {
				t.Errorf("it may be tried again after %q", retry)
			}
			got := make(map[string]string)
			for name := range h {
				if strings.HasPrefix(name, "Access-") || name == "Vary" {
					got[name] = h.Get(name)
				}
			}
			if !maps.Equal(got, tt.cors) {
				t.Errorf("its headers are %q, want %q", got, tt.cors)
			}
		})
	}
}

// The handshake over polling says how long its answer is.
func TestTheHandshake(t *testing.T) {
	t.Parallel()
	o := Options{PingInterval: 3 * time.Second, PingTimeout: 2 * time.Second, MaxPayload: 1234}
	for _, tt := range []struct {
		query string
		o     Options
		want  string
	}{
		{"", Options{}, `0{"sid":"<sid>","upgrades":["websocket"],"pingTimeout":20000,"pingInterval":25000,"maxPayload":1000000}`},
		{"", o, `0{"sid":"<sid>","upgrades":["websocket"],"pingTimeout":2000,"pingInterval":3000,"maxPayload":1234}`},
		{"&j=07", o, `___eio[7]("0{\"sid\":\"<sid>\",\"upgrades\":[\"websocket\"],\"pingTimeout\":2000,\"pingInterval\":3000,\"maxPayload\":1234}");`},
	} {
		s := start(t, tt.o)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/?EIO=4"+tt.query, nil))
		s.mu.Lock()
		body := w.Body.String()
		for sid := range s.sessions {
			body = strings.Replace(body, sid, "<sid>", 1)
		}
		s.mu.Unlock()
		if h := w.Result().Header; w.Code != 200 || body != tt.want || h.Get("Content-Type") != "text/plain; charset=UTF-8" || w.Result().ContentLength != int64(w.Body.Len()) {
			t.Errorf("it is answered %d, %q, %v; want %q", w.Code, body, h, tt.want)
		}
	}
}

// Handshakes are refused as python-engineio refuses them, or with the limit that is
// reached. The first session of a limit is opened.
func TestHandshakesThatAreRefused(t *testing.T) {
	t.Parallel()
	nobody := func(r *http.Request) bool { return r.URL.Query().Get("first") != "" }
	for name, tt := range map[string]struct {
		o            Options
		status       int
		kind, answer string
		retry, log   string
	}{
		"not authorized":         {Options{Authorize: nobody}, 401, "application/json", `"Unauthorized"`, "", ""},
		"all":                    {Options{Limits: Limits{Sessions: 1}}, 503, "text/plain", `"too many sessions: the limit is 1"`, "5", "sessions"},
		"those of an address":    {Options{Limits: Limits{SessionsPerAddress: 1}}, 429, "text/plain", `"too many sessions from 192.0.2.1: the limit is 1"`, "5", "sessions_per_address"},
		"those of all addresses": {Options{Limits: Limits{Sessions: 1, SessionsPerAddress: 2}}, 503, "text/plain", `"too many sessions: the limit is 1"`, "5", "sessions"},
	} {
		var log strings.Builder
		tt.o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		s := New(func(session *Session) Handler {
			session.SetJoined(true) // so that it is not evicted
			return recorder{session: session}
		}, tt.o)
		t.Cleanup(s.Close)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/?EIO=4&first=1", nil))
		if w.Code != 200 {
			t.Errorf("%s: the first session is answered %d, %q", name, w.Code, w.Body)
		}
		w = httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/?EIO=4", nil))
		if h := w.Result().Header; w.Code != tt.status || w.Body.String() != tt.answer || h.Get("Content-Type") != tt.kind || h.Get("Retry-After") != tt.retry {
			t.Errorf("%s: it is answered %d, %q, %v; want %d, %q", name, w.Code, w.Body, h, tt.status, tt.answer)
		}
		if want := "limit=" + tt.log; tt.log != "" && !strings.Contains(log.String(), want+` group="" address=192.0.2.1`) {
			t.Errorf("%s: the log has\n%s", name, &log)
		}
	}
}

// The address of a client is what the connection has, also if that is not an IP address.
func TestAddressesOfClients(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{"192.0.2.1:1234": "192.0.2.1", "[2001:db8::1]:80": "2001:db8::1", "@": "@"} {
		addresses := make(chan string, 1)
		s := New(func(session *Session) Handler {
			addresses <- session.Addr()
			return recorder{session: session}
		}, Options{})
		t.Cleanup(s.Close)
		r := httptest.NewRequest("GET", "/?EIO=4", nil)
		r.RemoteAddr = remote
		s.ServeHTTP(httptest.NewRecorder(), r)
		if got := <-addresses; got != want {
			t.Errorf("%q is the address %q", remote, got)
		}
	}
}
