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
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, os.Args[1:], os.LookupEnv, os.Stdout) }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		select {
		case err = <-ended:
		case <-time.After(exitTime): // something hangs; nothing that was acked is lost
		}
	}
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	printed := make(chan struct{})
	go func() {
		fmt.Fprintln(os.Stderr, "server:", err)
		close(printed)
	}()
	select {
	case <-printed:
	case <-time.After(lastLinesTime): // nobody reads it
	}
	if errors.As(err, new(usageError)) {
		os.Exit(2)
	}
	os.Exit(1)
}

// A request has to be there within these times. They end neither a poll that
// waits for an event nor a WebSocket.
const (
	headerTimeout  = 10 * time.Second
	requestTimeout = 15 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 8 << 10
)

const (
	// stopTime is how long a stop may take: writing what waits, and sending it.
	stopTime = 800 * time.Millisecond
	// lastLinesTime is how long the last log lines may take after that.
	lastLinesTime = 50 * time.Millisecond
	// exitTime is when the process ends after a signal, whatever hangs.
	exitTime = 900 * time.Millisecond
)

// usageError is run's error for arguments or an environment that make no sense.
type usageError struct{ error }

// run serves until ctx ends, which is a clean stop, or something fails.
func run(ctx context.Context, args []string, lookupEnv func(string) (string, bool), stdout io.Writer) error {
	c, err := parseConfig(args, lookupEnv, stdout)
	if err == flag.ErrHelp {
		return err
	}
	if err != nil {
		return usageError{err}
	}
	switch {
	case c.version:
		fmt.Fprintln(stdout, "server", version)
		return nil
	case c.check:
		return check(ctx, c.addr)
	case c.verify != "":
		return verify(ctx, c.verify, stdout)
	}
	logger, lines := newLogger(c.logFormat, c.logLevel, stdout)
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLinesTime)
		defer cancel()
		lines.Close(last)
	}()
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
	file, err := numbersfile.Open(ctx, c.data, numbersfile.Options{
		Faithful: c.faithful,
		Progress: func(line string) { logger.Info(line) },
	})
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
		g := game.New(recovery.Last)
		g.EndAt(c.limit)
		rules = g
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
	running, stopRunning := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRunning()
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		r.Run(running)
	}()
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
	defer r.Close() // before: nobody is notified that the others leave
	counts.Ask(metrics.Gauges{
		Sessions:    edge.Sessions,
		Connections: l.Connections,
		Usage:       edge.Usage,
		Taken:       r.Taken,
		Waiting:     r.Waiting,
		Readers:     feed.Readers,
		Dropped:     feed.Dropped,
		Missed:      r.Missed,
		LogLines:    lines.Dropped,
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
	if errors.Is(err, context.DeadlineExceeded) { // nobody was acked for them
		logger.Warn("Stopped before all numbers were written: the disk does not take them.")
		err = nil
	}
	edge.Flush(stopping)
	stopRunning()
	select {
	case <-logged:
	case <-stopping.Done():
	}
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
	direct := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // not through a proxy
	response, err := direct.Do(request)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not healthy: %s answers %s", target, response.Status)
	}
	return nil
}

// verify tells whether the file is an unbroken count. It does not wait for a
// disk that hangs once ctx has ended.
func verify(ctx context.Context, path string, stdout io.Writer) error {
	verified := make(chan error, 1)
	go func() {
		lines, bad, err := numbersfile.VerifySlowly(path, func(line string) { fmt.Fprintln(stdout, line) })
		switch {
		case err != nil:
			verified <- err
		case bad != nil:
			last, err := numbersfile.LastUnbroken(path)
			if err != nil {
				verified <- err
				return
			}
			verified <- fmt.Errorf("%s is not an unbroken count: it is one up to line %d, but %v; all numbers up to %d are in it, so a server goes on with %d",
				path, lines, bad, last, last+1)
		default:
			fmt.Fprintf(stdout, "%s is an unbroken count of %d lines\n", path, lines)
			verified <- nil
		}
	}()
	select {
	case err := <-verified:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s was not verified: interrupted", path)
	}
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
