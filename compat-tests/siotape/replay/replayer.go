package replay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"counting/compat-tests/siotape/packet"
	"counting/compat-tests/siotape/tape"
)

// A replayer is the peer that connects to a server.
type replayer struct {
	*engine
	ctx      context.Context
	cancel   context.CancelFunc
	target   *url.URL
	tls      *tls.Config
	http     *http.Client
	sessions map[string]*session
	running  sync.WaitGroup // exchanges
}

func newReplayer(ctx context.Context, e *engine, target *url.URL) *replayer {
	ctx, cancel := context.WithCancel(ctx)
	config := &tls.Config{InsecureSkipVerify: e.Insecure} //nolint:gosec // asked for with -insecure
	return &replayer{
		engine: e, ctx: ctx, cancel: cancel, target: target, tls: config,
		http: &http.Client{
			// Send only what was recorded: no compression, no redirects.
			Transport:     &http.Transport{DisableCompression: true, TLSClientConfig: config},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		sessions: map[string]*session{},
	}
}

func (p *replayer) close() {
	for _, s := range p.sessions {
		s.abort()
	}
	p.cancel()
	for _, s := range p.sessions {
		s.running.Wait()
	}
	p.running.Wait()
	p.http.CloseIdleConnections()
}

// play implements peer.
func (p *replayer) play(st *step) (refused string, err error) {
	name := st.lines[0].Session
	s := p.sessions[name]
	if s == nil {
		if !st.lines[0].Open {
			return "", fmt.Errorf("session %s was not opened", name)
		}
		s = newSession(p, name)
		p.sessions[name] = s
	}
	err = s.play(st)
	if r := (refusal)(""); errors.As(err, &r) {
		return string(r), nil
	}
	return "", err
}

// drain implements peer.
func (p *replayer) drain() {
	for _, s := range p.sessions {
		s.drain()
	}
}

// connection has the headers of a connection, not of a request.
var connection = []string{
	"Connection", "Content-Length", "Host", "Keep-Alive", "Sec-Websocket-Extensions", "Sec-Websocket-Key",
	"Sec-Websocket-Protocol", "Sec-Websocket-Version", "Transfer-Encoding", "Upgrade",
}

// header returns the header of a request: the recorded one with the received values and
// the headers in Options.
func (p *replayer) header(recorded tape.Headers, upgrade bool) (h http.Header, host string) {
	h = http.Header{}
	same := func(s string) string { return s }
	for name, values := range recorded {
		for _, v := range values {
			if v = p.values.substitute(v, same); name == "Host" {
				host = v
			} else if !slices.Contains(connection, name) || upgrade && name != "Content-Length" && name != "Transfer-Encoding" {
				h.Add(name, v)
			}
		}
	}
	for name, values := range p.Headers {
		h[name] = values
	}
	if p.Host != "" {
		host = p.Host
	}
	return h, host
}

var sessionName = regexp.MustCompile(`\$([A-Z]+)`)

// url returns the URL of a request. $A is replaced by the id of session A.
func (p *replayer) url(recorded string, engineIO bool) string {
	recorded = p.values.substitute(p.values.substitute(recorded, url.QueryEscape), func(s string) string { return s })
	if engineIO {
		recorded = sessionName.ReplaceAllStringFunc(recorded, func(name string) string {
			if s := p.sessions[name[1:]]; s != nil {
				return s.id()
			}
			return name
		})
		if before, query, ok := strings.Cut(recorded, "?"); p.Path != "" && ok && before != p.Path {
			recorded = p.Path + "?" + query
		}
	}
	u := *p.target
	return u.String() + recorded
}

// exchange implements peer.
func (p *replayer) exchange(step int, x tape.Exchange) {
	engineIO := strings.Contains(x.URL, "EIO=") || strings.Contains(x.URL, "sid=$")
	target := p.url(x.URL, engineIO)
	body := p.values.substitute(x.Body, inJSON)
	if body == x.Body {
		body = p.values.substitute(x.Body, url.QueryEscape)
	}
	upgrade := x.Headers.Get("Upgrade") != ""
	header, host := p.header(x.Headers, upgrade)
	p.running.Go(func() {
		got, err := p.ask(x, target, body, header, host)
		if p.ctx.Err() != nil {
			return
		}
		a := &arrival{Line: tape.Line{HTTP: got}, request: step}
		if err != nil {
			if x.Status == 0 {
				return
			}
			var refused *url.Error
			if errors.As(err, &refused) && refused.Op == "parse" {
				a.err = err
			}
			a.HTTP = &tape.Exchange{Method: x.Method, URL: x.URL, Response: err.Error()}
		}
		p.receive(a)
	})
}

func (p *replayer) ask(x tape.Exchange, target, body string, header http.Header, host string) (*tape.Exchange, error) {
	req, err := http.NewRequestWithContext(p.ctx, x.Method, target, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body == "" {
		req.Body = http.NoBody
	}
	// Some servers send a body with responses to HEAD, so the connection cannot be used
	// again.
	req.Close = x.Method == http.MethodHead
	req.Header, req.Host = header, host
	res, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	got := tape.Exchange{Method: x.Method, URL: x.URL, Status: res.StatusCode,
		ContentType: res.Header.Get("Content-Type"), ResponseHeaders: tape.Headers(res.Header)}
	if x.Incomplete {
		// Read as much as was recorded: the response may be endless.
		_ = time.AfterFunc(p.Patience+time.Duration(x.Took*float64(time.Second)), func() { res.Body.Close() })
		data := make([]byte, len(x.Response))
		n, _ := io.ReadFull(res.Body, data)
		got.Response = string(data[:n])
		return &got, nil
	}
	data, err := io.ReadAll(res.Body)
	if err != nil && len(data) == 0 && res.StatusCode != http.StatusSwitchingProtocols {
		return nil, err
	}
	got.Response = string(tape.Plain(data, res.Header.Get("Content-Encoding")))
	return &got, nil
}

// split returns the packets of a payload.
func split(payload string) []string { return strings.Split(payload, packet.Separator) }
