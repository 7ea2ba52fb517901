package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"counting/compat-tests/siotape/replay"
)

// How long a server may take to listen, and to end.
const (
	startPatience = time.Minute
	stopPatience  = 5 * time.Second
)

// A server is what a command speaks to: one that runs already, or one that
// -start started.
type server struct {
	url   string
	state string // file, or ""
	stop  func()
}

// begin returns the server, started if need be. The caller has to stop it.
func (c *connectionFlags) begin(ctx context.Context) (s *server, err error) {
	switch {
	case c.start == "" && c.target == "":
		return nil, fmt.Errorf("-target or -start is needed; -h explains them")
	case c.start == "":
		return &server{url: c.target, state: c.state, stop: func() {}}, nil
	case c.target != "":
		return c.startAt(ctx, c.target)
	}
	// The port that was free a moment ago may be gone: try another.
	for range 3 {
		if s, err = c.startAt(ctx, "http://127.0.0.1:"+freePort()); err == nil || ctx.Err() != nil {
			break
		}
	}
	return s, err
}

func (c *connectionFlags) startAt(ctx context.Context, target string) (*server, error) {
	address, _, err := c.hostPort(target)
	if err != nil {
		return nil, err
	}
	if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("-start: something listens on %s already", address)
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "siotape-")
	if err != nil {
		return nil, err
	}
	s := &server{url: target, state: strings.NewReplacer("${DIR}", dir, "$DIR", dir).Replace(c.state)}
	cmd := shell(c.start)
	out := &tail{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "PORT="+u.Port(), "DIR="+dir)
	if err := cmd.Start(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("-start: %w", err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	s.stop = sync.OnceFunc(func() {
		terminate(cmd)
		select {
		case <-ended:
		case <-time.After(stopPatience):
			kill(cmd)
			<-ended
		}
		_ = os.RemoveAll(dir)
	})
	if err := listens(ctx, address, ended); err != nil {
		s.stop()
		return nil, fmt.Errorf("-start: %w; it printed:\n%s", err, out)
	}
	return s, nil
}

// listens waits until somebody does.
func listens(ctx context.Context, address string, ended <-chan struct{}) error {
	deadline := time.After(startPatience)
	for {
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ended:
			return fmt.Errorf("the command has ended and nothing listens on %s", address)
		case <-deadline:
			return fmt.Errorf("nothing listens on %s after %v", address, startPatience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// freePort returns a port that nobody listens on, below those that the system
// gives away by itself: it stays free for a server that is about to start.
func freePort() string {
	const lowest, highest = 20000, 32000
	for {
		port := strconv.Itoa(lowest + rand.IntN(highest-lowest))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
}

// lines returns the lines of the server's state file, for replay.Options.
func (s *server) lines() func() ([]string, error) {
	if s.state == "" {
		return nil
	}
	return func() ([]string, error) { return replay.ReadLines(s.state) }
}

// A tail keeps the end of what is written to it, 4 KB unless most says otherwise.
type tail struct {
	most int
	mu   sync.Mutex
	b    bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	most := cmp.Or(t.most, 4<<10)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.Write(p)
	t.b.Next(max(0, t.b.Len()-most))
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}
