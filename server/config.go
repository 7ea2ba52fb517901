package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"counting/server/clientaddr"
	"counting/server/engineio"
	"counting/server/live"
	"counting/server/protocol"
)

// config holds the values of flags and environment variables.
type config struct {
	addr      string
	internal  string // address of the internal listener
	store     storeConfig
	data      string
	faithful  bool
	origins   []string // empty: any
	logFormat string
	logLevel  slog.Level
	goal      int64
	limit     int64
	heartbeat heartbeat
	trusted   clientaddr.Trusted
	tokenFile string
	// stallTimeout is -patience.
	stallTimeout time.Duration

	maxConnections, maxConnectionsPerAddress int

	maxGames int
	games    []string // that clients may create; nil: any

	limits  engineio.Limits
	readers live.Limits
	// frameAncestors are the origins whose pages may show the live page in a
	// frame.
	frameAncestors []string

	check   bool
	verify  string
	version bool
}

// heartbeat is the value of -heartbeat: how long after an answer the next ping is sent,
// and how long a client may take to answer it.
type heartbeat struct{ interval, timeout time.Duration }

func (h heartbeat) String() string { return fmt.Sprintf("%v/%v", h.interval, h.timeout) }

func (h *heartbeat) Set(s string) error {
	interval, timeout, ok := strings.Cut(s, "/")
	var err error
	if h.interval, err = time.ParseDuration(interval); err == nil && ok {
		h.timeout, err = time.ParseDuration(timeout)
	}
	if err != nil || !ok || h.interval < time.Millisecond || h.timeout < time.Millisecond {
		return fmt.Errorf("it must be two durations of at least 1ms, like 25s/20s")
	}
	return nil
}

// logFormat and logLevel are flags' values, in any case.
type (
	logFormat string
	logLevel  slog.Level
)

func (l *logFormat) String() string { return string(*l) }

func (l *logFormat) Set(s string) error {
	switch s = strings.ToLower(s); s {
	case "text", "json":
		*l = logFormat(s)
		return nil
	}
	return errors.New("it must be text or json")
}

func (l *logLevel) String() string { return strings.ToLower(slog.Level(*l).String()) }

func (l *logLevel) Set(s string) error {
	level, ok := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "warning": slog.LevelWarn, "error": slog.LevelError,
	}[strings.ToLower(s)]
	if !ok {
		return errors.New("it must be debug, info, warn or error")
	}
	*l = logLevel(level)
	return nil
}

// maxPackets returns how many packets one request body may hold, or 0 for no limit. The
// original ignores a body with more; the default mode accepts it, since the JavaScript
// client sends such bodies after an interruption.
func (c config) maxPackets() int {
	if c.faithful {
		return 16
	}
	return 0
}

// mayCreate reports whether a client may create a game of that name.
func (c config) mayCreate(game string) bool { return c.games == nil || slices.Contains(c.games, game) }

const usage = `Server serves the counting game over Socket.IO and writes the count to
DATA/numbers.txt, or with -store to etcd. It replaces the original Flask-SocketIO server.

Clients with SERVER_URL=http://server:5000?game=NAME play a separate game, whose
count is in DATA/games/NAME/numbers.txt. It is opened for its first client or
reader, and closed a minute after the last has left. No game can use up shared
resources: a game may have at most -max-sessions-per-game sessions, and a game
other than the default one half of -max-readers. The clients of one address can
be in at most half of -max-games.

	server [flags]

Each flag except -check, -verify, -import, -game and -version can also be set by an
environment variable: -log-format is LOG_FORMAT.
Flags override environment variables.

`

// parseConfig parses the flags, and the environment variables of those not given.
func parseConfig(args []string, lookupEnv func(string) (string, bool), help io.Writer) (config, error) {
	var c config
	var origins, trusted, frameAncestors, games string
	c.heartbeat = heartbeat{25 * time.Second, 20 * time.Second}
	f := flag.NewFlagSet("server", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&c.addr, "addr", ":5000", "`host:port` to listen on; port 0 means a free port")
	f.StringVar(&c.internal, "internal-addr", "127.0.0.1:0", "`IP:port` of the internal listener, at which other servers forward requests to this one; it is published as it is, so the IP must be an address of this machine that they can reach; port 0 means a free port")
	f.StringVar(&c.data, "data", "data", "`directory` of numbers.txt; created if it does not exist")
	c.store.flags(f)
	f.BoolVar(&c.faithful, "faithful", false, "behave like the original, including its faults: start from 1, accept any order, do not sync")
	f.StringVar(&origins, "origins", "*", "comma-separated `origins` from which browsers may connect; * means any")
	c.logFormat = "text"
	f.Var((*logFormat)(&c.logFormat), "log-format", "`format` of the log: text (the original's lines) or json")
	f.Var((*logLevel)(&c.logLevel), "log-level", "the lowest `level` that is logged: debug, info, warn or error")
	f.Int64Var(&c.goal, "goal", 2000, "the `number` that the clients count to, for the progress on the page; 0 means unknown")
	f.Int64Var(&c.limit, "limit", 0, "the last `number` of the count: greater numbers are refused, and after it start_game is no longer sent; 0 means no limit")
	f.DurationVar(&c.stallTimeout, "patience", 20*time.Second, "ask a seated client to leave that has not sent a number for this `duration` although it is its turn; after three times as long, disconnect a client that delays the count while another waits for a seat; must exceed the clients' interval, 0 disables both; not with -faithful")
	f.Var(&c.heartbeat, "heartbeat", "`interval/timeout`: how long after an answer the next ping is sent, and how long a client may take to answer it before its session ends")
	f.StringVar(&trusted, "trusted-proxies", "", "comma-separated `addresses` or CIDR prefixes of the proxies whose X-Forwarded-For is used")
	f.StringVar(&c.tokenFile, "token-file", "", "`file` with a token that clients must send to open a session, as in SERVER_URL=http://server:5000?token=TOKEN")
	f.IntVar(&c.maxConnections, "max-connections", 2_500, "the maximum `number` of open TCP connections; beyond it idle ones are closed for new ones; 0 means no limit")
	f.IntVar(&c.maxConnectionsPerAddress, "max-connections-per-address", 1_250, "the maximum `number` of them from one address, or one /64 of IPv6, that is not a trusted proxy; 0 means no limit")
	f.IntVar(&c.limits.Sessions, "max-sessions", 2_000, "the maximum `number` of open Engine.IO sessions; 0 means no limit")
	f.IntVar(&c.limits.SessionsPerAddress, "max-sessions-per-address", 1_000, "the maximum `number` of them from one address, or one /64 of IPv6; 0 means no limit")
	f.IntVar(&c.limits.SessionsPerGroup, "max-sessions-per-game", 500, "the maximum `number` of them in one game; 0 means no limit")
	f.IntVar(&c.maxGames, "max-games", 500, "the maximum `number` of open games besides the default one; beyond it idle ones are closed for new ones; ten times as many may be stored; 0 means no limit")
	f.StringVar(&games, "games", "any", "comma-separated `names` of the games that clients may create, or any; existing games can always be played")
	f.IntVar(&c.limits.PacketsPerSession, "max-waiting", 20_000, "the maximum `number` of packets queued for a session; beyond it the session is ended; 0 means no limit")
	f.Int64Var(&c.limits.Sending, "max-sending", 8<<20, "the maximum number of `bytes` queued for all sessions, not counting 4 KiB of each; the session that exceeds it is ended; 0 means no limit")
	f.Int64Var(&c.limits.Receiving, "max-receiving", 8<<20, "the maximum number of `bytes` of incomplete packets and of acks that wait, not counting 4 KiB and 64 acks of each session; a packet that exceeds it is refused, and a session whose acks exceed it is ended; 0 means no limit")
	f.IntVar(&c.readers.Readers, "max-readers", 1000, "the maximum `number` of concurrent readers of the event stream and downloads of the file; 0 means no limit")
	f.IntVar(&c.readers.PerAddress, "max-readers-per-address", 250, "the maximum `number` of them from one address; 0 means no limit")
	f.StringVar(&frameAncestors, "frame-ancestors", "", "comma-separated `origins` whose pages, such as slides, may show the live page in a frame")
	f.BoolVar(&c.check, "check", false, "check the health of the server at -addr, and exit with 0 or 1")
	f.StringVar(&c.verify, "verify", "", "check that `file`, or each file of a data directory, is an unbroken count from one, and exit with 0 or 1")
	f.BoolVar(&c.version, "version", false, "print the version and exit")

	err := f.Parse(args)
	if err == flag.ErrHelp {
		io.WriteString(help, usage)
		f.SetOutput(help)
		f.PrintDefaults()
		return c, err
	}
	if err != nil {
		return c, fmt.Errorf("%w; server -h lists the flags", err)
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q; server -h lists the flags", f.Arg(0))
	}
	// A script passes an empty value if its variable is not set.
	f.Visit(func(fl *flag.Flag) {
		if err == nil && fl.Value.String() == "" {
			err = fmt.Errorf("-%s is empty; give it a value or leave it out", fl.Name)
		}
	})
	if err != nil {
		return c, err
	}
	if err := fromEnvironment(f, lookupEnv); err != nil {
		return c, err
	}

	if _, _, err := net.SplitHostPort(c.addr); err != nil {
		return c, fmt.Errorf("-addr %q is not host:port, like :5000 or 127.0.0.1:5000", c.addr)
	}
	if c.internal, err = parseInternal(c.internal); err != nil {
		return c, err
	}
	if err := c.store.check(c.faithful); err != nil {
		return c, err
	}
	if c.limit < 0 {
		return c, fmt.Errorf("-limit %d is below 0", c.limit)
	}
	if c.limit > 0 && c.faithful {
		return c, errors.New("-limit cannot be combined with -faithful: the original has no limit")
	}
	if c.goal < 0 {
		return c, fmt.Errorf("-goal %d is below 0", c.goal)
	}
	c.limits.SendingPerAddress, c.limits.ReceivingPerAddress = c.limits.Sending/2, c.limits.Receiving/2
	for name, value := range map[string]int64{
		"max-sessions": int64(c.limits.Sessions), "max-sessions-per-address": int64(c.limits.SessionsPerAddress),
		"max-sessions-per-game": int64(c.limits.SessionsPerGroup), "max-games": int64(c.maxGames),
		"max-connections": int64(c.maxConnections), "max-connections-per-address": int64(c.maxConnectionsPerAddress),
		"max-waiting": int64(c.limits.PacketsPerSession), "max-sending": c.limits.Sending, "max-receiving": c.limits.Receiving,
		"max-readers": int64(c.readers.Readers), "max-readers-per-address": int64(c.readers.PerAddress),
	} {
		if value < 0 {
			return c, fmt.Errorf("-%s %d is below 0", name, value)
		}
	}
	if c.trusted, err = clientaddr.ParseTrusted(trusted); err != nil {
		return c, fmt.Errorf("-trusted-proxies: %w", err)
	}
	if c.stallTimeout < 0 {
		return c, fmt.Errorf("-patience %v is below 0", c.stallTimeout)
	}
	if c.origins, err = parseOrigins(origins); err != nil {
		return c, fmt.Errorf("-origins: %w", err)
	}
	c.readers.PerGame = (c.readers.Readers + 1) / 2
	if c.games, err = parseGames(games); err != nil {
		return c, fmt.Errorf("-games: %w", err)
	}
	c.frameAncestors, err = parseAncestors(frameAncestors)
	return c, err
}

// parseInternal checks -internal-addr. In Kubernetes, $(POD_IP):5001 has no brackets
// even if the IP is one of IPv6.
func parseInternal(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if colon := strings.LastIndexByte(addr, ':'); err != nil && colon > 0 {
		host, port = addr[:colon], addr[colon+1:]
	}
	ip, ipErr := netip.ParseAddr(host)
	if ipErr != nil || ip.IsUnspecified() || port == "" {
		return "", fmt.Errorf("-internal-addr %q is not IP:port, like 10.0.0.7:5001, with an address at which other servers reach this one", addr)
	}
	return net.JoinHostPort(host, port), nil
}

// parseGames parses -games. It returns nil for any.
func parseGames(list string) (games []string, err error) {
	if list == "any" {
		return nil, nil
	}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if err := protocol.CheckGame(name); err != nil {
			return nil, fmt.Errorf("%q is not a name: %w", name, err)
		}
		games = append(games, name)
	}
	return games, nil
}

// parseAncestors parses -frame-ancestors. The origins become part of a header, so they
// must not contain characters with a meaning there.
func parseAncestors(list string) (origins []string, err error) {
	for origin := range strings.SplitSeq(list, ",") {
		origin = strings.TrimSuffix(strings.TrimSpace(origin), "/")
		if origin == "" {
			continue
		}
		u, err := url.Parse(origin)
		if origin != "'self'" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || strings.ContainsAny(origin, " ;,'\"?#")) {
			return nil, fmt.Errorf("-frame-ancestors: %q is not an origin, like https://slides.example.org", origin)
		}
		origins = append(origins, origin)
	}
	return origins, nil
}

// fromEnvironment sets the flags that were not given from environment variables:
// -log-format is LOG_FORMAT. Flags of actions that exit have no variable.
func fromEnvironment(f *flag.FlagSet, lookupEnv func(string) (string, bool)) error {
	given := map[string]bool{"check": true, "verify": true, "version": true, "import": true, "game": true}
	f.Visit(func(fl *flag.Flag) { given[fl.Name] = true })
	var err error
	f.VisitAll(func(fl *flag.Flag) {
		name := strings.ToUpper(strings.ReplaceAll(fl.Name, "-", "_"))
		value, ok := lookupEnv(name)
		if err != nil || given[fl.Name] || !ok || value == "" {
			return
		}
		if setErr := f.Set(fl.Name, value); setErr != nil {
			err = fmt.Errorf("environment variable %s: %q is not a value for -%s: %w", name, value, fl.Name, setErr)
		}
	})
	return err
}

// parseOrigins parses a comma-separated list of origins, and returns them as browsers
// send them. It returns nil if any origin is accepted.
func parseOrigins(list string) (origins []string, err error) {
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if item == "*" {
			return nil, nil
		}
		if item == "" {
			continue
		}
		u, err := url.Parse(item)
		if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("%q is not an origin, like https://example.org or http://localhost:8080", item)
		}
		scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
		switch {
		case scheme == "http":
			host = strings.TrimSuffix(host, ":80")
		case scheme == "https":
			host = strings.TrimSuffix(host, ":443")
		}
		origins = append(origins, scheme+"://"+host)
	}
	if len(origins) == 0 {
		return nil, fmt.Errorf("%q is an empty list; * means any origin", list)
	}
	return origins, nil
}
