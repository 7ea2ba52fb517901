// Server is a drop-in replacement for the original's server.py: it assigns the two
// seats of the game and writes the count to numbers.txt. See -h.
package main

import (
	"context"
	"crypto/rand"
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
	"runtime"
	"strings"
	"syscall"
	"time"

	"counting/server/engineio"
	"counting/server/forwarding"
	"counting/server/live"
	"counting/server/metrics"
	"counting/server/numbersfile"
	"counting/server/socketio"
	"counting/server/store"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "dev"

func main() {
	// A goroutine that writes or syncs a file occupies one of GOMAXPROCS until the runtime
	// notices. The value is no longer adapted when the limit of a container changes.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
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
		case <-time.After(exitTimeout): // something hangs; nothing that was acked is lost
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
	case <-time.After(lastLinesTimeout): // nobody reads it
	}
	if errors.As(err, new(usageError)) {
		os.Exit(2)
	}
	os.Exit(1)
}

// Timeouts and limits for receiving a request. The timeouts do not apply to a poll
// that waits for an event or to a WebSocket.
const (
	headerTimeout  = 10 * time.Second
	requestTimeout = 15 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 8 << 10
	// A forwarded request has a few more headers.
	forwardedBytes, forwardedLines = 1 << 10, 10
)

const (
	// stopTimeout bounds a stop: writing and sending what is queued.
	stopTimeout = 800 * time.Millisecond
	// lastLinesTimeout bounds the writing of the last log lines after that, and, after an
	// error, the time for the games to write them.
	lastLinesTimeout = 50 * time.Millisecond
	// exitTimeout is how long after a signal the process exits, even if something
	// hangs.
	exitTimeout = 900 * time.Millisecond
)

// startTime is after how long the pages that only the start has used are unmapped.
const startTime = time.Second

// usageError is run's error for invalid arguments or environment variables.
type usageError struct{ error }

// run serves until ctx ends, which is a clean stop, or until an error.
func run(ctx context.Context, args []string, lookupEnv func(string) (string, bool), stdout io.Writer) (err error) {
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
	case c.store.imported != "":
		return importFile(ctx, c.store, stdout)
	}
	logger, lines := newLogger(c.logFormat, c.logLevel, stdout)
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLinesTimeout)
		defer cancel()
		lines.Close(last)
	}()
	logger.Info("Server starting...", "version", version)

	defer func() { // a stop during the start is a clean one, too
		if ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, context.Canceled)) {
			logger.Info("Server stopped.")
			err = nil
		}
	}()

	authorize, err := readToken(c.tokenFile)
	if err != nil {
		return err
	}
	options := listenOptions{connections: c.maxConnections, perAddress: c.maxConnectionsPerAddress, games: c.maxGames, trusted: c.trusted, headerLines: maxHeaderLines, log: logger}
	l, err := listen(ctx, c.addr, options)
	if err != nil {
		return listenError("-addr", c.addr, err)
	}
	defer l.CloseConns()
	defer l.Close()
	options.connections = l.options.connections
	options.headerLines = maxHeaderLines + forwardedLines
	options.perAddress, options.perClient = 0, options.perAddress // one server forwards for many clients
	internal, err := listen(ctx, c.internal, options)
	if err != nil {
		return listenError("-internal-addr", c.internal, err)
	}
	defer internal.CloseConns()
	defer internal.Close()
	self := store.Elsewhere{Owner: hostname(), Addr: internal.Addr().String(), Secret: rand.Text()}

	expired, expire := context.WithCancel(context.Background())
	expire()
	counts := metrics.New(version)
	l.options.onLimit, internal.options.onLimit = counts.LimitReached, counts.LimitReached
	hub := live.NewHub(live.HubOptions{
		Limits:  c.readers,
		Log:     logger,
		OnLimit: func(l live.Limit) { counts.LimitReached(engineio.Limit(l)) },
		Trusted: c.trusted,
	})
	go hub.Run()
	defer hub.Close(expired) // without waiting for a disk that hangs
	forwarder := forwarding.New(forwarding.Options{
		MaxRequests:   c.maxConnections,
		AnswerTimeout: c.heartbeat.interval + c.heartbeat.timeout,
		Client:        c.trusted.Of,
		Done:          counts.Forwarded,
		Log:           logger,
	})
	defer forwarder.Close()
	countStore, openFile, err := openStore(ctx, c, self, counts, logger)
	if err != nil {
		return err
	}
	games := newGames(c, countStore, forwarder, hub, counts, logger)
	games.openFile = openFile
	defer games.closeCounts(expired)
	if err := games.keepMain(ctx); err != nil {
		return err
	}

	edge := socketio.New(map[string]socketio.Handler{"/": handler{games, newShares(c.maxGames)}}, engineio.Options{
		PingInterval: c.heartbeat.interval,
		PingTimeout:  c.heartbeat.timeout,
		MaxPackets:   c.maxPackets(),
		JoinTimeout:  c.heartbeat.interval + c.heartbeat.timeout,
		Origins:      c.origins,
		Authorize:    authorize,
		Admit:        games.admit,
		Unknown:      http.HandlerFunc(games.answerUnknown),
		Trusted:      c.trusted,
		Limits:       c.limits,
		OnLimit:      counts.LimitReached,
		Log:          slog.New(groupHandler{logger.Handler()}),
	})
	defer edge.Close()
	defer func() { // runs before edge.Close: clients are not notified that others leave
		open := games.Close()
		for _, o := range open {
			o.room.Close()
		}
		last, cancel := context.WithTimeout(ctx, lastLinesTimeout) // a stop has waited already
		defer cancel()
		finish(last, open)
	}()
	counts.RegisterGauges(metrics.Gauges{
		Sessions:    edge.Sessions,
		Connections: l.Connections,
		Usage:       edge.Usage,
		Games:       games.counts,
		Readers:     hub.Readers,
		Dropped:     hub.Dropped,
		Standby:     games.standsBy,
		Forwarding:  forwarder.Open,
		LogLines:    lines.Dropped,
	})
	handler := routes(edge, games.ready, readOnlyPaths(games))
	errorLog := log.New(logWriter{logger}, "", 0)
	served := make(chan error, 2)
	go func() { served <- l.serve(forwarding.Public(handler), maxHeaderBytes, errorLog) }()
	go func() {
		served <- internal.serve(forwarding.Receiver(self.Secret, internal.admitClient, handler), maxHeaderBytes+forwardedBytes, errorLog)
	}()
	logger.Info("Listening on "+urlOf(l.Addr()), "address", l.Addr().String())
	defer time.AfterFunc(startTime, unmapProgram).Stop()

	select {
	case err := <-games.failed:
		return err
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	// Clients are not sent a packet; their connections are closed. Python clients
	// reconnect only after a broken connection.
	l.Close()
	internal.Close()
	open := games.Close()
	for _, o := range open {
		o.room.Close()
		o.feed.Stopping()
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err = games.closeCounts(stopping)
	if errors.Is(err, context.DeadlineExceeded) { // the numbers were not acked
		logger.Warn("Stopped before all numbers were written: writing to the disk takes too long.")
		err = nil
	}
	edge.Flush(stopping)
	finish(stopping, open)
	hub.Close(stopping)
	logger.Info("Server stopped.")
	return err
}

// check checks the health of the server on this machine.
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

// verify checks that a file, or each file of a data directory, is an unbroken count. It
// does not wait for a disk that hangs after ctx has ended.
func verify(ctx context.Context, path string, stdout io.Writer) error {
	verified := make(chan error, 1)
	go func() {
		paths := []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			if paths, err = numbersfile.Paths(path); err != nil {
				verified <- err
				return
			}
			if len(paths) == 0 {
				verified <- fmt.Errorf("%s does not contain a %s", path, numbersfile.Name)
				return
			}
		}
		var errs []error
		for _, path := range paths {
			if err := verifyFile(path, stdout); err != nil {
				errs = append(errs, err)
			}
		}
		switch {
		case len(errs) == 0:
			verified <- nil
		case len(paths) == 1:
			verified <- errs[0]
		default:
			verified <- fmt.Errorf("%d of %d files are not unbroken counts: %w", len(errs), len(paths), inOneLine(errs))
		}
	}()
	select {
	case err := <-verified:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s was not verified: interrupted", path)
	}
}

func verifyFile(path string, stdout io.Writer) error {
	lines, bad, err := numbersfile.VerifyWithProgress(path, func(line string) { fmt.Fprintln(stdout, line) })
	if err != nil {
		return err
	}
	if bad != nil {
		last, err := numbersfile.LastUnbroken(path)
		if err != nil {
			return err
		}
		return fmt.Errorf("%s is not an unbroken count: it is one up to line %d, but %v; all numbers up to %d are in it, so a server continues with %d",
			path, lines, bad, last, last+1)
	}
	fmt.Fprintf(stdout, "%s is an unbroken count of %d lines\n", path, lines)
	return nil
}

// inOneLine joins errors in one line.
func inOneLine(errs []error) error {
	err := errs[0]
	for _, more := range errs[1:] {
		err = fmt.Errorf("%w; %w", err, more)
	}
	return err
}

func listenError(flag, addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("address %s is in use; stop what listens there or choose another %s", addr, flag)
	}
	return fmt.Errorf("cannot listen on %s %q: %w", flag, addr, err)
}

// hostname returns the name of this machine, or "" if it has none.
func hostname() string {
	name, _ := os.Hostname()
	return name
}

// urlOf returns the URL of the server for browsers on this machine.
func urlOf(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("http://localhost:%d", tcp.Port)
	}
	return "http://" + addr.String()
}

// logWriter logs what net/http prints.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(line []byte) (int, error) {
	w.log.Debug(strings.TrimSpace(string(line)))
	return len(line), nil
}
