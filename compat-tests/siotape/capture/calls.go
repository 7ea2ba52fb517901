package capture

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"counting/compat-tests/siotape/tape"
)

// An exchange is an HTTP request and its response on a call.
type exchange struct {
	call     *call
	req      *http.Request
	query    url.Values
	body     string
	asked    time.Duration // when the request was complete
	res      *http.Response
	answered time.Duration // when the answer was complete, or was cut off

	mu       sync.Mutex // guards what follows
	answer   bytes.Buffer
	written  int // bytes of it that were written as pieces
	id       int // if it is written in pieces
	complete bool
}

// maxBody is the longest body that is kept.
const maxBody = 64 << 20

// errTooLong is the error for a longer body.
var errTooLong = fmt.Errorf("a body of more than %d MB", maxBody>>20)

// read records the traffic of the call, and reports what it cannot read.
func (c *call) read() {
	requests, answers := bufio.NewReader(c.up), bufio.NewReader(c.down)
	var before *exchange
	for {
		begins := c.up.offset - int64(requests.Buffered())
		x, err := c.readRequest(requests)
		if errors.Is(err, io.EOF) && x == nil {
			c.leftOver(answers, before)
			return
		}
		if err != nil && x == nil {
			c.abandon(c.up, begins, "the client sent", err)
			return
		}
		if err != nil && !c.cutOff(err) {
			c.asm.notUnderstood(x.asked, fmt.Sprintf("connection %d: the body of %s %s: %v", c.number, x.req.Method, x.req.RequestURI, err))
		}
		if err := x.readAnswer(answers, before); err != nil {
			c.asm.unanswered(x)
			if !isEnd(err) {
				c.abandon(c.down, c.down.offset-int64(answers.Buffered()), "the server sent", err)
			}
			c.drop()
			return
		}
		if x.res.StatusCode == http.StatusSwitchingProtocols {
			c.readFrames(x, requests, answers)
			return
		}
		c.asm.add(x)
		before = x
	}
}

// cutOff reports whether a read error was caused only by the end of the recording. Any
// other error was caused by the client or the server.
func (c *call) cutOff(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over && isEnd(err)
}

// abandon reports that the rest of the call cannot be read.
func (c *call) abandon(s *stream, from int64, what string, err error) {
	if !c.cutOff(err) {
		c.asm.notUnderstood(s.at, fmt.Sprintf("connection %d, from byte %d of what %s: %v", c.number, from, what, err))
	}
	c.drop()
}

func (c *call) drop() {
	c.up.drop()
	c.down.drop()
	c.up.waitEnd()
	c.down.waitEnd()
}

// leftOver reports bytes that the server sent without a request.
func (c *call) leftOver(answers *bufio.Reader, before *exchange) {
	stray, _ := io.ReadAll(io.LimitReader(answers, maxBody))
	if !isHarmless(stray, before) {
		c.asm.notUnderstood(c.down.at, fmt.Sprintf("connection %d: %d bytes from the server without a request", c.number, len(stray)))
	}
	c.drop()
}

// isHarmless reports whether bytes between two answers are among those that servers are
// known to send: an empty chunked body after a status without a body, or a body after
// HEAD.
func isHarmless(stray []byte, before *exchange) bool {
	if len(stray) == 0 || string(stray) == "0\r\n\r\n" {
		return true
	}
	return before != nil && before.req.Method == http.MethodHead
}

func (c *call) readRequest(from *bufio.Reader) (*exchange, error) {
	req, err := http.ReadRequest(from)
	if err != nil {
		return nil, err
	}
	x := &exchange{call: c, req: req, query: req.URL.Query()}
	body, err := readBody(req.Body)
	x.body, x.asked = string(body), c.up.at
	return x, err
}

func readBody(from io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(from, maxBody+1))
	if len(body) > maxBody {
		_, _ = io.Copy(io.Discard, from)
		return nil, errTooLong
	}
	return body, err
}

func (x *exchange) readAnswer(from *bufio.Reader, before *exchange) error {
	for {
		if err := x.skip(from, before); err != nil {
			return err
		}
		res, err := http.ReadResponse(from, x.req)
		if err != nil {
			return err
		}
		if res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
			before = nil
			continue // 100 Continue and the like
		}
		x.res, x.answered = res, x.call.down.at
		if res.StatusCode == http.StatusSwitchingProtocols {
			return nil
		}
		return x.readAnswerBody()
	}
}

// skip reads up to the next answer.
func (x *exchange) skip(from *bufio.Reader, before *exchange) error {
	var stray []byte
	for {
		head, err := from.Peek(5)
		if string(head) == "HTTP/" {
			break
		}
		if err != nil && len(head) == 0 {
			return err
		}
		b, err := from.ReadByte()
		if err != nil {
			return err
		}
		if stray = append(stray, b); len(stray) > 1<<20 || before == nil {
			return fmt.Errorf("malformed HTTP response %q", short(string(stray)+string(head[1:])))
		}
	}
	if !isHarmless(stray, before) {
		x.call.asm.notUnderstood(x.call.down.at, fmt.Sprintf("connection %d: %d bytes after the answer to %s %s",
			x.call.number, len(stray), before.req.Method, before.req.RequestURI))
	}
	return nil
}

func short(s string) string { return s[:min(len(s), 40)] }

func (x *exchange) readAnswerBody() error {
	x.call.asm.answering(x)
	defer x.call.asm.answeredBody(x)
	buf := make([]byte, 32<<10)
	for {
		n, err := x.res.Body.Read(buf)
		x.mu.Lock()
		x.answer.Write(buf[:n])
		tooLong := x.answer.Len() > maxBody
		x.answered = x.call.down.at
		x.complete = err == io.EOF
		x.mu.Unlock()
		switch {
		case tooLong:
			return errTooLong
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// text returns the uncompressed body of the answer.
func (x *exchange) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.res == nil {
		return x.answer.String()
	}
	return string(tape.Plain(x.answer.Bytes(), x.res.Header.Get("Content-Encoding")))
}

// upgrades reports whether the client asked for a WebSocket.
func (x *exchange) upgrades() bool {
	return strings.EqualFold(x.req.Header.Get("Upgrade"), "websocket")
}

// A rewriter reads what a client sends, with another Host and additional headers in each
// request.
type rewriter struct {
	in      *bufio.Reader
	host    string
	header  http.Header
	pending bytes.Buffer
	raw     bool // what follows is not HTTP
}

func newRewriter(client io.Reader, host string, header http.Header) *rewriter {
	return &rewriter{in: bufio.NewReader(client), host: host, header: header}
}

// Read implements io.Reader.
func (r *rewriter) Read(b []byte) (int, error) {
	for r.pending.Len() == 0 && !r.raw {
		if err := r.request(); err != nil {
			return 0, err
		}
	}
	if r.pending.Len() > 0 {
		return r.pending.Read(b)
	}
	return r.in.Read(b)
}

func (r *rewriter) request() error {
	req, err := http.ReadRequest(r.in)
	if err != nil {
		return err
	}
	if r.host != "" {
		req.Host = r.host
	}
	fmt.Fprintf(&r.pending, "%s %s %s\r\nHost: %s\r\n", req.Method, req.RequestURI, req.Proto, req.Host)
	for name, values := range r.header {
		req.Header[name] = values
	}
	if req.ContentLength > 0 {
		req.Header.Set("Content-Length", fmt.Sprint(req.ContentLength))
	}
	if len(req.TransferEncoding) > 0 {
		req.Header.Set("Transfer-Encoding", "chunked")
	}
	_ = req.Header.Write(&r.pending)
	r.pending.WriteString("\r\n")
	r.raw = strings.EqualFold(req.Header.Get("Upgrade"), "websocket")
	if len(req.TransferEncoding) > 0 {
		body, err := io.ReadAll(req.Body)
		fmt.Fprintf(&r.pending, "%x\r\n%s\r\n0\r\n\r\n", len(body), body)
		return err
	}
	_, err = io.Copy(&r.pending, req.Body)
	return err
}
