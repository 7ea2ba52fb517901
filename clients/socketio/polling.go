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

// postWait is how long the server may take to take a packet.
const postWait = 5 * time.Second

// polling is a session over HTTP: a GET waits for the server's packets, a POST
// carries one of the client's.
// https://github.com/socketio/engine.io-protocol#http-long-polling
type polling struct {
	client  *http.Client
	url     *url.URL // with the session's id
	silence time.Duration
	queue   []string // packets that a poll brought
	ctx     context.Context
	end     context.CancelFunc
	writing sync.Mutex // packets arrive in the order of their POSTs
}

// openPolling returns a session that is open. A redirect of the handshake
// holds for the whole session.
func openPolling(ctx context.Context, u *url.URL) (*polling, error) {
	p := &polling{client: &http.Client{Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial,
		TLSHandshakeTimeout:    handshakeWait,
		MaxResponseHeaderBytes: maxHandshake,
	}}}
	p.ctx, p.end = context.WithCancel(context.Background())
	unwatch := context.AfterFunc(ctx, p.end)
	payload, at, err := p.request(handshakeWait, http.MethodGet, over(u, "polling", ""), "")
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
	p.queue, p.url, p.silence = p.queue[1:], over(at, "polling", h.Sid), h.silence()
	return p, nil
}

// request does a request, which has to be answered with 200 within that time.
// It returns the answer and the URL that gave it, after redirects.
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
		// Not the URL, which holds a session's id, but what went wrong.
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
		payload, _, err := p.request(p.silence, http.MethodGet, p.url, "")
		if err != nil {
			return "", err
		}
		p.queue = strings.Split(payload, separator)
	}
	packet := p.queue[0]
	p.queue = p.queue[1:]
	return packet, nil
}

func (p *polling) write(packet string) error { return p.post(postWait, packet) }

func (p *polling) post(within time.Duration, payload string) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	_, _, err := p.request(within, http.MethodPost, p.url, payload)
	return err
}

func (p *polling) close(last string) {
	// A packet that is still being posted is not waited for.
	stuck := time.AfterFunc(2*closeWait, p.end)
	defer stuck.Stop()
	p.post(closeWait, last+separator+"1")
	p.end()
	p.client.CloseIdleConnections()
}
