package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"counting/compat-tests/freeport"
	"counting/compat-tests/siotape/replay"
	"counting/compat-tests/siotape/tape"
)

// How long a server may take to listen, and to end.
const (
	startTimeout = 3 * time.Minute
	stopTimeout  = 5 * time.Second
)

// A server is the server that a command connects to, which -start may have started.
type server struct {
	url   string
	state string // file, or ""
	stop  func()
}

// begin returns the server, and starts it first if -start is given. The caller must stop
// it.
func (c *connectionFlags) begin(ctx context.Context) (*server, error) {
	target := c.target
	switch {
	case c.start == "" && target == "":
		return nil, fmt.Errorf("either -target or -start is required; see -h")
	case c.start == "":
		return &server{url: target, state: c.state, stop: func() {}}, nil
	case target == "":
		target = "http://127.0.0.1:" + freeport.New()
	}
	return c.startAt(ctx, target)
}

func (c *connectionFlags) startAt(ctx context.Context, target string) (*server, error) {
	u, err := tape.ParseTarget(target)
	if err != nil {
		return nil, err
	}
	address, _ := c.hostPort(u)
	if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("-start: another process already listens on %s", address)
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
		case <-time.After(stopTimeout):
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

// listens waits until a process listens on the address.
func listens(ctx context.Context, address string, ended <-chan struct{}) error {
	deadline := time.After(startTimeout)
	for {
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ended:
			return fmt.Errorf("the command has ended and nothing listens on %s", address)
		case <-deadline:
			return fmt.Errorf("nothing listens on %s after %v", address, startTimeout)
		case <-ctx.Done():
			return ctx.Err()
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

// A tail keeps the last bytes that are written to it: most, or 4 KB if that is 0.
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
