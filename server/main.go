// Server is the drop-in replacement for the original's server.py: it hands out
// the two seats of the game and writes the count to numbers.txt. See -h.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"counting/server/engineio"
	"counting/server/game"
	"counting/server/live"
	"counting/server/metrics"
	"counting/server/numbersfile"
	"counting/server/page"
	"counting/server/room"
	"counting/server/socketio"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.LookupEnv, os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

// A request has to be there within these times. They end neither a poll that
// waits for an event nor a WebSocket.
const (
	headerTimeout  = 10 * time.Second
	requestTimeout = 15 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 8 << 10
)

// stopTime is how long a stop may take: writing what waits, and sending it.
const stopTime = 800 * time.Millisecond

// run serves until ctx ends, which is a clean stop, or something fails.
func run(ctx context.Context, args []string, lookupEnv func(string) (string, bool), stdout io.Writer) error {
	c, err := parseConfig(args, lookupEnv, stdout)
	if err != nil {
		return err
	}
	switch {
	case c.version:
		fmt.Fprintln(stdout, "server", version)
		return nil
	case c.check:
		return check(ctx, c.addr)
	case c.verify != "":
		return verify(c.verify, stdout)
	}
	logger := newLogger(c.logFormat, c.logLevel, stdout)
	logger.Info("Server starting...", "version", version)

	authorize, err := readToken(c.tokenFile)
	if err != nil {
		return err
	}
	l, err := listen(ctx, c.addr, listenOptions{connections: c.maxConnections, perAddress: c.maxConnectionsPerAddress, trusted: c.trusted, log: logger})
	if err != nil {
		return listenError(c.addr, err)
	}
	defer l.CloseConns()
	defer l.Close()

	path := filepath.Join(c.data, numbersfile.Name)
	lastAt := modified(path) // before Open, which may mend the file
	file, err := numbersfile.Open(ctx, c.data, numbersfile.Options{Faithful: c.faithful})
	if err != nil {
		return err
	}
	defer func() { // a disk that hangs is not waited for
		expired, cancel := context.WithCancel(context.Background())
		cancel()
		file.Close(expired)
	}()
	var rules room.Rules = game.NewFaithful()
	if !c.faithful {
		recovery := file.Recovery()
		logger.Info(fmt.Sprintf("Opened %s: %s.", numbersfile.Name, recovery), "last", recovery.Last)
		rules = game.New(recovery.Last)
	}
	counts := metrics.New(version, c.goal, file.Recovery().Last, lastAt)
	var r *room.Room
	host, _ := os.Hostname() // without a name the page shows none
	options := live.Options{
		Path:         path,
		History:      filepath.Join(c.data, live.HistoryName),
		Count:        file.Recovery().Last,
		Unbroken:     file.Recovery().Bad == nil,
		LastAt:       lastAt,
		Goal:         c.goal,
		Version:      version,
		Assets:       page.Version(),
		Host:         host,
		Limits:       c.readers,
		Log:          logger,
		Waiting:      func() int { return r.Waiting() },
		Interrupted:  func(i live.Interruption) { resumed(logger, counts, i) },
		Address:      func(r *http.Request) string { return c.trusted.Of(r).String() },
		LimitReached: func(l live.Limit) { counts.LimitReached(engineio.Limit(l)) },
	}
	if c.faithful {
		options.Path, options.History = "", "" // the original's directory has one file, and nobody watches
	}
	feed, err := live.New(options)
	if err != nil {
		return err
	}
	l.options.onLimit = counts.LimitReached
	failed := make(chan error, 2) // the file's, and the room's
	r = room.New(rules, room.Options{
		File:      file,
		Last:      file.Recovery().Last,
		Observers: []room.Observer{feed, counts},
		Log:       logger,
		Patience:  c.patience,
		Fail:      func(err error) { failed <- err },
	})
	telling, stopTelling := context.WithCancel(context.WithoutCancel(ctx))
	defer stopTelling()
	go r.Run(telling)
	go feed.Run()
	defer func() {
		expired, cancel := context.WithCancel(context.Background())
		cancel()
		feed.Close(expired)
	}()
	go func() { failed <- file.Run(r.Reports()) }()

	edge := socketio.New(map[string]socketio.Handler{"/": handler{r, logger}}, engineio.Options{
		PingInterval: c.heartbeat.interval,
		PingTimeout:  c.heartbeat.timeout,
		MaxPackets:   c.maxPackets(),
		JoinTimeout:  c.heartbeat.interval + c.heartbeat.timeout,
		Origins:      c.origins,
		Authorize:    authorize,
		Trusted:      c.trusted,
		Limits:       c.limits,
		OnLimit:      counts.LimitReached,
		Log:          logger,
	})
	defer edge.Close()
	counts.Ask(metrics.Gauges{
		Sessions:    edge.Sessions,
		Connections: l.Connections,
		Usage:       edge.Usage,
		Taken:       r.Taken,
		Waiting:     r.Waiting,
		Readers:     feed.Readers,
		Dropped:     feed.Dropped,
	})
	server := &http.Server{
		Handler:           routes(edge, file.Ready, watching(c, feed, counts)),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         l.connState,
		ErrorLog:          log.New(logWriter{logger}, "", 0),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	logger.Info("Listening on "+urlOf(l.Addr()), "address", l.Addr().String())

	select {
	case err := <-failed:
		return err
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	// Clients are neither told nor disconnected, but cut off: Python clients
	// come back from a connection that breaks, and from nothing else.
	l.Close()
	r.Close()
	feed.Stopping()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err = file.Close(stopping)
	edge.Flush(stopping)
	feed.Close(stopping)
	logger.Info("Server stopped.")
	return err
}

// resumed reports an interruption that is over.
func resumed(log *slog.Logger, counts *metrics.Metrics, i live.Interruption) {
	counts.Interrupted(string(i.Cause), i.Seconds)
	log.Info(fmt.Sprintf("The count continues after %.1f s; the cause of the interruption was %s.", i.Seconds, i.Cause),
		"cause", string(i.Cause), "seconds", i.Seconds, "line", i.Line)
}

// modified returns when the file was written last, or the zero time.
func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		return time.Time{}
	}
	return info.ModTime()
}

// check asks the server on this machine for its health.
func check(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("-addr %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	target := "http://" + net.JoinHostPort(host, port) + "/health"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not healthy: %s answers %s", target, response.Status)
	}
	return nil
}

// verify tells whether the file is an unbroken count.
func verify(path string, stdout io.Writer) error {
	lines, bad, err := numbersfile.Verify(path)
	if err != nil {
		return err
	}
	if bad != nil {
		return fmt.Errorf("%s is no unbroken count: %v", path, bad)
	}
	fmt.Fprintf(stdout, "%s is an unbroken count of %d lines\n", path, lines)
	return nil
}

func listenError(addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("address %s is in use; stop what listens there or choose another -addr", addr)
	}
	return fmt.Errorf("cannot listen on -addr %q: %w", addr, err)
}

// urlOf returns where a person on this machine finds the server.
func urlOf(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("http://localhost:%d", tcp.Port)
	}
	return "http://" + addr.String()
}

// logWriter makes log lines of what net/http prints.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(line []byte) (int, error) {
	w.log.Debug(strings.TrimSpace(string(line)))
	return len(line), nil
}
