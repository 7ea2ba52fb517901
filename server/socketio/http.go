package socketio

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// writeTimeout is how long a client may take to receive what it is sent: the
// answer to a poll, or a packet over WebSocket.
const writeTimeout = 10 * time.Second

// ServeHTTP serves Engine.IO. What the original refuses is refused in its
// words, before the library sees it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if !s.allowed(r.Header.Get("Origin")) {
		badRequest(w, "Not an accepted origin.")
		return
	}
	s.allow(w, r)
	upgrade := websocket.IsWebSocketUpgrade(r)
	transport := first(query, "transport", "polling")
	sid := first(query, "sid", "")
	switch {
	case transport != "polling" && transport != "websocket":
		badRequest(w, "Invalid transport")
	case sid == "" && first(query, "EIO", "") != "4":
		badRequest(w, "The client is using an unsupported version of the Socket.IO or Engine.IO protocols")
	case r.Method == http.MethodOptions:
		plain(w, http.StatusOK, "OK")
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		plain(w, http.StatusMethodNotAllowed, "Method Not Found")
	case sid == "" && r.Method == http.MethodPost, sid != "" && !s.known(sid):
		badRequest(w, "Invalid session")
	case sid == "" && transport == "websocket" && !upgrade:
		badRequest(w, "Invalid websocket upgrade")
	default:
		query.Set("transport", transport) // the original takes a request that names none for polling
		r.URL.RawQuery = query.Encode()
		if sid == "" {
			var t *ticket
			if r, t = s.admit(w, r); t == nil {
				return
			}
			defer t.leaveUnopened()
		}
		if upgrade {
			s.serveWebSocket(w, r)
		} else {
			s.servePolling(w, r)
		}
	}
}

// serveWebSocket holds back what the client sends until the library is ready
// for it. The library starts to read before it has somebody to read for, and
// loses a packet that comes too early: a CONNECT in 1 of some 6,000.
func (s *Server) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	ready := make(chan struct{})
	defer close(ready)
	s.engine.ServeHTTP(&gatedWriter{w, ready}, r)
}

type gatedWriter struct {
	http.ResponseWriter
	ready <-chan struct{}
}

// Hijack takes the connection. The library keeps the writer for as long as the
// session lives, so the writer lets go of net/http's part, and with it of 8 KB
// of buffers.
func (w *gatedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.ResponseWriter = hijacked{}
	return &gatedConn{Conn: conn, ready: w.ready}, rw, nil
}

// hijacked is what is left of the answer to a request whose connection is gone.
type hijacked struct{}

func (hijacked) Header() http.Header       { return http.Header{} }
func (hijacked) WriteHeader(int)           {}
func (hijacked) Write([]byte) (int, error) { return 0, http.ErrHijacked }

// gatedConn can also hold back what is written, to write it in one go: each
// write is a system call here, and a read there.
type gatedConn struct {
	net.Conn
	ready <-chan struct{}

	mu      sync.Mutex
	holding bool
	held    []byte
}

func (c *gatedConn) Read(b []byte) (int, error) {
	<-c.ready
	return c.Conn.Read(b)
}

func (c *gatedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holding {
		c.held = append(c.held, b...)
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// hold holds back what is written from now on.
func (c *gatedConn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding = true
}

// release writes what was held back.
func (c *gatedConn) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.Conn.Write(c.held)
	c.holding, c.held = false, nil
	return err
}

// servePolling stands between the library and the network. The library gets
// the whole body, because it takes one of any length if it is chunked and half
// of one that breaks off for all of it. Its answer is kept until it is done
// with the request, because it answers a handshake before it can take the
// session's next request, and may go on to write when the client is gone.
func (s *Server) servePolling(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxPayload))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		s.hit(LimitBody)
		plain(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit))
		return
	case err != nil:
		badRequest(w, "The body broke off")
		return
	}
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{}) // the server's deadline is for the request, not for the poll
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Type", "text/plain;charset=UTF-8") // as the original, which looks at none

	answer := &recorder{header: maps.Clone(w.Header()), done: make(chan struct{})}
	s.engine.ServeHTTP(answer, r)
	select {
	case <-answer.done:
	default:
		return // the client is gone
	}
	if r.Method == http.MethodPost && answer.status == http.StatusOK { // the library has words of its own
		answer.header.Set("Content-Type", "text/plain")
		answer.body = []byte("OK")
	}
	maps.Copy(w.Header(), answer.header)
	w.Header().Set("Content-Length", strconv.Itoa(len(answer.body)))
	control.SetWriteDeadline(time.Now().Add(writeTimeout))
	w.WriteHeader(answer.status)
	w.Write(answer.body)
	control.Flush()
	control.SetWriteDeadline(time.Time{})
}

// recorder keeps an answer. The library writes one in a single Write, perhaps
// in another goroutine; when done is closed it is complete and at rest.
type recorder struct {
	header http.Header
	status int
	body   []byte
	done   chan struct{}
}

func (a *recorder) Header() http.Header    { return a.header }
func (a *recorder) WriteHeader(status int) { a.status = status }
func (a *recorder) Write(b []byte) (int, error) {
	a.body = bytes.Clone(b)
	close(a.done)
	return len(b), nil
}

func (s *Server) known(sid string) bool {
	_, ok := s.io.Engine().Clients().Load(sid)
	return ok
}

func (s *Server) allowed(origin string) bool {
	return origin == "" || len(s.origins) == 0 || slices.Contains(s.origins, origin)
}

// allow sets the CORS headers that the original sets.
func (s *Server) allow(w http.ResponseWriter, r *http.Request) {
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

// first is the first non-empty value of a query parameter.
func first(query url.Values, key, otherwise string) string {
	for _, value := range query[key] {
		if value != "" {
			return value
		}
	}
	return otherwise
}

func badRequest(w http.ResponseWriter, message string) { refuse(w, http.StatusBadRequest, message) }

// refuse answers with a message as the original does, in JSON.
func refuse(w http.ResponseWriter, status int, message string) {
	text, _ := json.Marshal(message)
	plain(w, status, string(text))
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(status)
	io.WriteString(w, text)
}
