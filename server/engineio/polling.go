package engineio

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// writeTimeout bounds how long a client may take to receive the answer to a poll, or
// one write to its WebSocket.
const writeTimeout = 10 * time.Second

// A waitingPoll is a poll that waits until there is something to send. Session.mu
// guards it.
type waitingPoll struct {
	answered chan struct{}
	packets  []packet
}

// answerWaiting answers the waiting poll. The caller holds s.mu.
func (s *Session) answerWaiting(packets []packet) {
	s.waiting.packets = packets
	close(s.waiting.answered)
	s.waiting = nil
}

// poll answers a GET request with what is queued, or waits until something is. A
// second poll while one waits ends the session, as the official test suite requires:
// the packets would be divided between them.
func (s *Session) poll(w http.ResponseWriter, r *http.Request, jsonp string) {
	// net/http does not detect the end of the connection before the body is read.
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, int64(s.server.options.MaxPayload))); err != nil {
		refuse(w, http.StatusBadRequest, "the body is incomplete")
		return
	}
	// The server's deadline is for receiving the request, not for the wait.
	http.NewResponseController(w).SetReadDeadline(time.Time{})
	s.mu.Lock()
	switch {
	case s.ending, s.conn != nil:
		s.told = s.told || s.ending
		s.mu.Unlock()
		s.server.session(s.id) // if it was removed meanwhile: this request reports its end
		refuse(w, http.StatusBadRequest, "Invalid session")
		return
	case s.waiting != nil:
		s.answerWaiting([]packet{{data: string(typeClose)}})
		s.mu.Unlock()
		s.end("it polled twice at the same time")
		refuse(w, http.StatusBadRequest, "Bad Request")
		return
	case s.probing != nil: // what is queued waits for the end of the upgrade
		s.mu.Unlock()
		answerPoll(w, []packet{noop}, jsonp)
		return
	}
	var packets []packet
	if s.corks == 0 {
		packets = s.take()
	}
	if len(packets) > 0 {
		s.mu.Unlock()
	} else {
		waiting := &waitingPoll{answered: make(chan struct{})}
		s.waiting = waiting
		s.mu.Unlock()
		select {
		case <-waiting.answered:
			packets = waiting.packets
		case <-r.Context().Done():
			s.end("its poll was cut off")
			return
		}
	}
	if err := answerPoll(w, packets, jsonp); err != nil {
		s.end("the answer to its poll could not be sent")
	}
}

// answerPoll answers a GET request with packets. For JSONP, which has an index,
// they are the argument of a function call, as python-engineio writes it.
func answerPoll(w http.ResponseWriter, packets []packet, jsonp string) error {
	body := appendPayload(nil, packets)
	if jsonp != "" {
		body = []byte(`___eio[` + jsonp + `]("` + strings.ReplaceAll(string(body), `"`, `\"`) + `");`)
	}
	control := http.NewResponseController(w)
	control.SetWriteDeadline(time.Now().Add(writeTimeout))
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if _, err := w.Write(body); err != nil {
		return err
	}
	err := control.Flush()
	control.SetWriteDeadline(time.Time{})
	return err
}

// receive handles the packets of a POST request. As in python-engineio, a body that
// cannot be parsed is answered 200 and ignored, and a packet that clients may not send
// ends the session.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, session *Session) {
	body, release, err := s.readBody(w, r, session)
	defer release()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		s.options.OnLimit(LimitPayload)
		plain(w, http.StatusRequestEntityTooLarge, "the body is larger than "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes")
		return
	case errors.Is(err, errOverBudget):
		s.options.OnLimit(LimitReceiving)
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Connection", "close")
		plain(w, http.StatusServiceUnavailable, "too many bytes are being received")
		return
	case err != nil:
		refuse(w, http.StatusBadRequest, "the body is incomplete")
		return
	}
	packets, err := parsePayload(string(body), s.options.MaxPackets)
	if err != nil {
		s.options.Log.Debug("ignored a request body: "+err.Error(), "address", session.addr)
		plain(w, http.StatusOK, "OK")
		return
	}
	session.Cork()
	defer session.Uncork()
	for p := range packets {
		if session.isEnding() {
			break
		}
		if session.handlePosted(p) != nil {
			refuse(w, http.StatusBadRequest, "Bad Request")
			return
		}
	}
	plain(w, http.StatusOK, "OK")
}

// handlePosted handles one packet of a request body. If clients may not send such a
// packet, it ends the session and returns an error.
func (s *Session) handlePosted(p packet) error {
	if p.binary {
		return s.packet(typeMessage, []byte(p.data), true)
	}
	if p.data[0] == typeClose {
		s.markPosted()
	}
	err := s.packet(p.data[0], []byte(p.data[1:]), false)
	if err != nil {
		s.markPosted()
		if s.beginEnd() {
			s.finish(err.Error(), false)
		}
	}
	return err
}

func (s *Session) isEnding() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

// markPosted records that a POST request ends the session, unless it is ending already.
func (s *Session) markPosted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posted = !s.ending
}

// readBody reads a request body. It counts against Limits.Receiving until release is
// called.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, session *Session) (body []byte, release func(), err error) {
	var counted int64
	grow := func(size int) error {
		if err := s.receiving.resize(session.addressKey, counted, int64(size)); err != nil {
			return err
		}
		counted = int64(size)
		return nil
	}
	release = func() { grow(0) }
	limited := http.MaxBytesReader(w, r.Body, int64(s.options.MaxPayload))
	body = make([]byte, 0, 512)
	for {
		if len(body) == cap(body) {
			size := 2 * cap(body)
			if err := grow(size); err != nil {
				return nil, release, err
			}
			body = append(make([]byte, 0, size), body...)
		}
		n, err := limited.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			return body, release, nil
		}
		if err != nil {
			return nil, release, err
		}
	}
}
