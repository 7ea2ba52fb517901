package forwarding

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// answer is the http.ResponseWriter for an owner's response. A client that does not
// read for writeTimeout is cut off.
type answer struct {
	http.ResponseWriter
	control  *http.ResponseController
	buffers  *buffers
	begun    bool
	hijacked bool
	broken   atomic.Bool // the client has not sent all of the request's body
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	a.begun = a.begun || status >= http.StatusOK
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	a.begun = true
	a.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	return a.ResponseWriter.Write(b)
}

// end removes the deadline, since the connection may be used for the next request.
func (a *answer) end() {
	if !a.hijacked {
		a.control.SetWriteDeadline(time.Time{})
	}
}

// body returns the request's body. When all of it is received the server's read
// deadline is removed, since waiting for the response may take longer.
func (a *answer) body(r *http.Request) io.ReadCloser {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		a.control.SetReadDeadline(time.Time{})
		return r.Body
	}
	return body{r.Body, a}
}

type body struct {
	io.ReadCloser
	answer *answer
}

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch err {
	case nil:
	case io.EOF:
		b.answer.control.SetReadDeadline(time.Time{})
	default:
		b.answer.broken.Store(true)
	}
	return n, err
}

// Hijack is for a WebSocket.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := a.control.Hijack()
	if err != nil {
		return nil, nil, err
	}
	a.begun, a.hijacked = true, true
	return &tunnel{Conn: conn, early: rw.Reader, buffers: a.buffers}, rw, nil
}

// tunnel is the client's end of a WebSocket. io.Copy, which httputil.ReverseProxy
// uses, would take buffers of 32 KiB each way.
type tunnel struct {
	net.Conn
	early   *bufio.Reader // has what the client sent after its request
	buffers *buffers
}

// WriteTo copies what the client sends.
func (t *tunnel) WriteTo(owner io.Writer) (n int64, err error) {
	if size := t.early.Buffered(); size > 0 {
		early, _ := t.early.Peek(size)
		if _, err := owner.Write(early); err != nil {
			return 0, err
		}
		n = int64(size)
	}
	t.early = nil
	return t.copy(n, owner, t.Conn, func() {})
}

// ReadFrom copies what the owner sends.
func (t *tunnel) ReadFrom(owner io.Reader) (int64, error) {
	return t.copy(0, t.Conn, owner, func() { t.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)) })
}

func (t *tunnel) copy(n int64, to io.Writer, from io.Reader, before func()) (int64, error) {
	buffer := t.buffers.Get()
	defer t.buffers.Put(buffer)
	for {
		got, err := from.Read(buffer)
		if got > 0 {
			before()
			sent, err := to.Write(buffer[:got])
			n += int64(sent)
			if err != nil {
				return n, err
			}
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
