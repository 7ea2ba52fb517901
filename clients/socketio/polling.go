package socketio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// separator is between the packets of a payload.
const separator = "\x1e"

// postTimeout is how long the server may take to answer a POST.
const postTimeout = 5 * time.Second

// polling is a session over HTTP: a GET waits for the server's packets, a POST
// carries one of the client's.
// https://github.com/socketio/engine.io-protocol#http-long-polling
type polling struct {
	client  *http.Client
	url     *url.URL      // with the session's id
	timeout time.Duration // of a poll
	queue   []string      // packets of the last poll that are not yet read
	ctx     context.Context
	end     context.CancelFunc
	writing sync.Mutex // packets arrive in the order of their POSTs
}

// openPolling opens a session. A redirect of the handshake applies to the whole session.
func openPolling(ctx context.Context, u *url.URL) (*polling, error) {
	p := &polling{client: &http.Client{Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial,
		TLSHandshakeTimeout:    handshakeTimeout,
		MaxResponseHeaderBytes: maxHandshake,
	}}}
	p.ctx, p.end = context.WithCancel(context.Background())
	unwatch := context.AfterFunc(ctx, p.end)
	payload, at, err := p.request(handshakeTimeout, http.MethodGet, over(u, "polling", ""), "")
	var h handshake
	if err == nil {
		p.queue = strings.Split(payload, separator)
		h, err = parseHandshake(p.queue[0])
	}
	if !unwatch() {
		err = context.Cause(ctx)
	}
	if err != nil {
		p.end()
		p.client.CloseIdleConnections()
		return nil, err
	}
	inherit(at, u)
	p.queue, p.url, p.timeout = p.queue[1:], over(at, "polling", h.Sid), h.pollTimeout()
	return p, nil
}

// request makes a request, which must be answered with 200 within that time. It returns
// the body and the URL of the response, after redirects.
func (p *polling) request(within time.Duration, method string, u *url.URL, body string) (string, *url.URL, error) {
	late := fmt.Errorf("no answer from the server for %v", within)
	ctx, cancel := context.WithTimeoutCause(p.ctx, within, late)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(body))
	if err != nil {
		return "", nil, err
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	response, err := p.client.Do(request)
	if err != nil {
		if context.Cause(ctx) == late {
			return "", nil, late
		}
		// The URL is removed from the error, since it has the session's id.
		if of := (*url.Error)(nil); errors.As(err, &of) {
			err = of.Err
		}
		return "", nil, proxyError(u, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", nil, statusError(u, response)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxPacket+1))
	if err == nil && len(text) > maxPacket {
		err = fmt.Errorf("the server's answer is longer than %d bytes", maxPacket)
	}
	return string(text), response.Request.URL, err
}

func (p *polling) read() (string, error) {
	for len(p.queue) == 0 {
		payload, _, err := p.request(p.timeout, http.MethodGet, p.url, "")
		if err != nil {
			return "", err
		}
		p.queue = strings.Split(payload, separator)
	}
	packet := p.queue[0]
	p.queue = p.queue[1:]
	return packet, nil
}

func (p *polling) write(packet string) error { return p.post(postTimeout, packet) }

func (p *polling) post(within time.Duration, payload string) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	_, _, err := p.request(within, http.MethodPost, p.url, payload)
	return err
}

func (p *polling) close(last string) {
	// Bounds the wait for a packet that is still being posted.
	stuck := time.AfterFunc(2*closeTimeout, p.end)
	defer stuck.Stop()
	p.post(closeTimeout, last+separator+"1")
	p.end()
	p.client.CloseIdleConnections()
}
