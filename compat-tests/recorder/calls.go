package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// An exchange is an HTTP request and its answer, as they stood on a call.
type exchange struct {
	req       *http.Request
	query     url.Values
	body      string
	asked     moment // when the request was complete
	res       *http.Response
	answer    string
	answered  moment      // when the answer was complete
	abandoned *moment     // when the client hung up before it came
	frames    []frameSeen // what followed an answer of 101
}

// A frameSeen is a WebSocket message, or a closing, and when it passed.
type frameSeen struct {
	moment
	fromClient bool
	wsMessage
}

// exchanges reads what passed on a call. What it cannot read ends it: a proxy
// may see anything.
func (c *call) exchanges() []*exchange {
	up, down := c.up.play(), c.down.play()
	requests, answers := bufio.NewReader(up), bufio.NewReader(down)
	var all []*exchange
	for {
		x, err := readRequest(requests)
		if err != nil {
			return all
		}
		x.asked = up.moment
		all = append(all, x)
		if err := x.readAnswer(answers); err != nil {
			x.abandoned = c.up.hungUp
			return all
		}
		x.answered = down.moment
		if up := c.up.hungUp; up != nil && up.order < x.answered.order {
			x.abandoned = up
		}
		if x.res.StatusCode == http.StatusSwitchingProtocols {
			x.frames = append(c.side(true, requests, up, x), c.side(false, answers, down, x)...)
			x.frames = append(x.frames, c.hangUps()...)
			return all
		}
	}
}

func readRequest(from *bufio.Reader) (*exchange, error) {
	req, err := http.ReadRequest(from)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(req.Body)
	return &exchange{req: req, query: req.URL.Query(), body: string(body)}, err
}

func (x *exchange) readAnswer(from *bufio.Reader) error {
	for {
		res, err := http.ReadResponse(from, x.req)
		if err != nil {
			return err
		}
		if res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
			continue // 100 Continue and the like
		}
		if res.StatusCode == http.StatusSwitchingProtocols {
			x.res = res
			return nil
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		x.res, x.answer = res, string(plain(body, res.Header.Get("Content-Encoding")))
		return nil
	}
}

// plain undoes the compression of a body, if it was compressed.
func plain(body []byte, encoding string) []byte {
	var r io.ReadCloser
	var err error
	switch encoding {
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		r, err = zlib.NewReader(bytes.NewReader(body))
	default:
		return body
	}
	if err != nil {
		return body
	}
	if text, err := io.ReadAll(r); err == nil {
		return text
	}
	return body
}

// side reads one side's WebSocket messages.
func (c *call) side(fromClient bool, from *bufio.Reader, at *player, x *exchange) []frameSeen {
	extensions := x.res.Header.Get("Sec-WebSocket-Extensions")
	fresh := "server_no_context_takeover"
	if fromClient {
		fresh = "client_no_context_takeover"
	}
	m := messages{in: from, takeover: !strings.Contains(extensions, fresh)}
	var seen []frameSeen
	for {
		msg, err := m.next()
		if err != nil {
			return seen
		}
		seen = append(seen, frameSeen{at.moment, fromClient, msg})
		if msg.close {
			return seen
		}
	}
}

// hangUps are the closings of the connection itself.
func (c *call) hangUps() []frameSeen {
	var seen []frameSeen
	for _, side := range []struct {
		*tape
		client bool
	}{{&c.up, true}, {&c.down, false}} {
		if side.hungUp != nil {
			seen = append(seen, frameSeen{*side.hungUp, side.client, wsMessage{close: true}})
		}
	}
	return seen
}
