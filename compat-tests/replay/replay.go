// Package replay plays the client side of a recording against a server and
// compares what the server does with what was recorded.
//
// Its Engine.IO client is its own, because it has to send exactly what was
// recorded, broken packets included.
package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"counting/compat-tests/recording"
)

const (
	// DefaultPatience is how much longer than the recorded server another one
	// may take. It is spent only where the server says too little.
	DefaultPatience = 10 * time.Second
	// DefaultPace is the longest pause that is kept between two things that
	// clients do. The original takes less to handle a packet that it does not
	// answer, so that what follows finds it handled.
	DefaultPace = 50 * time.Millisecond
	// quiet is how long a server has to say nothing to count as settled.
	quiet = 300 * time.Millisecond
)

// Options say against what a recording is played, and how.
type Options struct {
	// Target is the server, such as http://localhost:5000.
	Target string
	// Numbers returns the lines of the server's numbers.txt. If it is nil, they
	// are not compared.
	Numbers func() ([]string, error)
	// Patience and Pace are the defaults above if they are 0.
	Patience, Pace time.Duration
}

// Replay plays r and returns the first difference, or nil. An error says that
// the replay itself could not go on: the server cannot be reached, say.
func Replay(ctx context.Context, r *recording.Recording, o Options) (*recording.Difference, error) {
	p, err := newPlayer(ctx, r, o)
	if err != nil {
		return nil, err
	}
	defer p.close()
	return recording.Compare(r, p)
}

// Play plays the client's lines of r at the pace at which they were recorded,
// and compares nothing. A recorder in between turns them into a recording.
func Play(ctx context.Context, r *recording.Recording, o Options) error {
	o.Pace = time.Hour // no limit
	p, err := newPlayer(ctx, r, o)
	if err != nil {
		return err
	}
	defer p.close()
	if _, err := recording.Compare(clientSide(r), indifferent{p}); err != nil {
		return err
	}
	p.settle()
	return nil
}

func clientSide(r *recording.Recording) *recording.Recording {
	c := &recording.Recording{Header: r.Header}
	for _, l := range r.Lines {
		if l.From != recording.Server {
			c.Lines = append(c.Lines, l)
		}
	}
	return c
}

// indifferent takes what the server does for what was recorded.
type indifferent struct{ *player }

func (p indifferent) Play(lines []recording.Line, after time.Duration) (string, error) {
	_, err := p.player.Play(lines, after)
	return "", err
}

func (p indifferent) Exchange(x recording.Exchange, after time.Duration) (recording.Exchange, error) {
	_, err := p.player.Exchange(x, after)
	return x, err
}

func (p indifferent) Next(string, time.Duration) (recording.Line, bool) {
	return recording.Line{}, false
}

func (p indifferent) Settle(func([]string) bool) ([]string, error) { return nil, nil }

// A player is the recording.Peer that talks to a server.
type player struct {
	Options
	ctx      context.Context
	cancel   context.CancelFunc
	target   *url.URL
	http     *http.Client
	sessions map[string]*session
	heard    chan struct{} // has something in it when a server said something
	plan     map[string]plan
}

func newPlayer(ctx context.Context, r *recording.Recording, o Options) (*player, error) {
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	if o.Pace == 0 {
		o.Pace = DefaultPace
	}
	target, err := url.Parse(strings.TrimSuffix(o.Target, "/"))
	if err != nil || target.Host == "" {
		return nil, fmt.Errorf("target %q: want a URL such as http://localhost:5000", o.Target)
	}
	ctx, cancel := context.WithCancel(ctx)
	return &player{
		Options: o, ctx: ctx, cancel: cancel, target: target,
		// As recorded: no Accept-Encoding.
		http:     &http.Client{Transport: &http.Transport{DisableCompression: true}},
		sessions: map[string]*session{},
		heard:    make(chan struct{}, 1),
		plan:     planned(r),
	}, nil
}

func (p *player) close() {
	for _, s := range p.sessions {
		s.hangUp()
	}
	p.cancel()
	for _, s := range p.sessions {
		s.running.Wait()
	}
	p.http.CloseIdleConnections()
}

// Play implements recording.Peer.
func (p *player) Play(lines []recording.Line, after time.Duration) (refused string, err error) {
	if err := p.pause(after); err != nil {
		return "", err
	}
	l := lines[0]
	s := p.sessions[l.Session]
	if s == nil {
		if !l.Open {
			return "", fmt.Errorf("session %s was not opened", l.Session)
		}
		s = newSession(p, l.Session)
		p.sessions[l.Session] = s
	}
	err = s.play(lines)
	if r := (refusal)(""); errors.As(err, &r) {
		return string(r), nil
	}
	return "", err
}

// pause keeps the recorded pace up to the limit.
func (p *player) pause(gap time.Duration) error {
	select {
	case <-time.After(min(gap, p.Pace)):
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// Next implements recording.Peer.
func (p *player) Next(name string, took time.Duration) (recording.Line, bool) {
	s := p.sessions[name]
	if s == nil {
		return recording.Line{}, false
	}
	if took == recording.NoWait {
		return s.came.take(p.ctx, 0)
	}
	return s.came.take(p.ctx, took+p.Patience)
}

// Exchange implements recording.Peer.
func (p *player) Exchange(x recording.Exchange, after time.Duration) (recording.Exchange, error) {
	if err := p.pause(after); err != nil {
		return x, err
	}
	target := p.target.String() + p.withIDs(x.URL)
	req, err := http.NewRequestWithContext(p.ctx, x.Method, target, strings.NewReader(x.Body))
	if err != nil {
		return x, err
	}
	// The original sends a body with its answers to HEAD: what is left of the
	// connection is of no use.
	req.Close = x.Method == http.MethodHead
	for name, v := range x.Headers {
		req.Header.Set(name, v)
	}
	res, err := p.http.Do(req)
	if err != nil {
		return x, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	x.Status, x.ContentType, x.Response = res.StatusCode, res.Header.Get("Content-Type"), string(body)
	x.ResponseHeaders = map[string]string{}
	for name := range res.Header {
		x.ResponseHeaders[name] = res.Header.Get(name)
	}
	return x, err
}

// withIDs puts the ids of sessions in the place of $A, $B, ….
func (p *player) withIDs(u string) string {
	for name, s := range p.sessions {
		u = strings.ReplaceAll(u, "$"+name, s.id())
	}
	return u
}

// settle waits until no session has heard anything for a while.
func (p *player) settle() {
	for deadline := time.Now().Add(p.Patience); time.Now().Before(deadline); {
		select {
		case <-p.heard:
		case <-time.After(quiet):
			return
		case <-p.ctx.Done():
			return
		}
	}
}

// Settle implements recording.Peer.
func (p *player) Settle(enough func([]string) bool) ([]string, error) {
	p.settle()
	if p.Numbers == nil {
		return nil, nil
	}
	deadline := time.Now().Add(p.Patience)
	for {
		lines, err := p.Numbers()
		if errors.Is(err, os.ErrNotExist) { // nothing was counted
			lines, err = []string{}, nil
		}
		if err != nil || enough(lines) || time.Now().After(deadline) {
			return lines, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-p.ctx.Done():
			return nil, p.ctx.Err()
		}
	}
}

// ReadNumbers returns the lines of a numbers.txt, for Options.Numbers.
func ReadNumbers(name string) ([]string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	lines := []string{}
	for line := range bytes.Lines(text) {
		lines = append(lines, strings.TrimSuffix(string(line), "\n"))
	}
	return lines, nil
}
