package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"counting/clients/counter"
	"counting/clients/socketio"
	"counting/server/protocol"
)

// errVersion is what parse returns for -version.
var errVersion = errors.New("the version was asked for")

const help = `The client takes a seat at a counting server and counts, in turn with the
client on the other seat. Its exit code is 0 after the last number or a signal,
1 when it cannot continue, 2 when a flag or a variable is invalid.

usage: client [flags]

`

// setting is a flag that is also an environment variable. The flag overrides the
// variable.
type setting struct {
	name, env, value, usage string
	parse                   func(string) error
}

// config holds the values of flags and environment variables.
type config struct {
	counter.Config
	game   string // or empty
	health string // host:port, or empty
	check  bool
}

// settings returns the settings of config, with their default values.
func settings(config *config) []setting {
	return []setting{
		{"server", "SERVER_URL", "http://localhost:5000",
			"`URL` of the server; its path and query are kept",
			func(s string) (err error) {
				if config.Server, err = socketio.ParseURL(s); err != nil {
					return fmt.Errorf("%w; give the server's URL, such as http://localhost:5000", err)
				}
				return nil
			}},
		{"game", "GAME", "",
			"`name` of the game; empty means that of the server's URL,\nor the default game",
			func(s string) error {
				if s != "" && protocol.CheckGame(s) != nil {
					return protocol.ErrGame
				}
				config.game = s
				return nil
			}},
		{"limit", "LIMIT", "2000",
			"`number` to count to, the same for both clients",
			func(s string) (err error) {
				config.Limit, err = strconv.ParseInt(s, 10, 64)
				if err != nil || config.Limit < 1 || config.Limit > counter.MaxLimit {
					return fmt.Errorf("give a whole number from 1 to %d, such as 2000", int64(counter.MaxLimit))
				}
				return nil
			}},
		{"interval", "INTERVAL", "1s",
			"`time` from one of this client's numbers to the next",
			func(s string) (err error) {
				config.Interval, err = time.ParseDuration(s)
				if err != nil || config.Interval < 0 {
					return errors.New("give a time with its unit, such as 1s or 10ms")
				}
				return nil
			}},
		{"stay", "STAY", "false",
			"stay connected after the last number, for use in a Deployment,\nwhich would restart a client that exits; for both clients",
			func(s string) (err error) {
				if config.Stay, err = strconv.ParseBool(s); err != nil {
					return errors.New("give true or false")
				}
				return nil
			}},
		{"health", "HEALTH", "",
			"`host:port` for HTTP health checks: 200 if the server was heard from\nin the last 40 s, otherwise 503; empty means none",
			func(s string) error {
				if _, _, err := net.SplitHostPort(s); s != "" && err != nil {
					return errors.New("give host:port, such as 127.0.0.1:5001")
				}
				config.health = s
				return nil
			}},
	}
}

// parse reads the configuration from flags and environment variables. It returns
// flag.ErrHelp when it has written the help to stdout.
func parse(args []string, getenv func(string) string, stdout io.Writer) (config config, err error) {
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	version := flags.Bool("version", false, "print the version")
	flags.BoolVar(&config.check, "check", false, "ask the client at -health whether it has heard from the server in\nthe last 40 s, and exit with 0 or 1")
	given := map[string]bool{}
	settings := settings(&config)
	for _, s := range settings {
		usage := fmt.Sprintf("%s\n(environment variable %s, default %s)", s.usage, s.env, cmp.Or(s.value, "empty"))
		define := flags.Func
		if s.name == "stay" {
			define = flags.BoolFunc
		}
		define(s.name, usage, func(value string) error {
			given[s.name] = true
			return s.parse(value)
		})
	}

	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, help)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return config, err
	case err != nil:
		return config, fmt.Errorf("%w (-h lists the flags)", err)
	case flags.NArg() > 0:
		return config, fmt.Errorf("argument %q is not a flag (-h lists the flags)", flags.Arg(0))
	case *version:
		return config, errVersion
	}

	for _, s := range settings {
		if given[s.name] {
			continue
		}
		value := getenv(s.env)
		if value == "" {
			value = s.value
		}
		if err := s.parse(value); err != nil {
			return config, fmt.Errorf("invalid value %q for the environment variable %s: %w", value, s.env, err)
		}
	}
	if err := choose(config.Server, config.game); err != nil {
		return config, err
	}
	if config.check && config.health == "" {
		return config, errors.New("-check needs -health, the address of the client's health checks")
	}
	return config, nil
}

// choose adds the game to the server's URL. If the URL names a game already, it must be
// the same.
func choose(server *url.URL, game string) error {
	query := server.Query()
	named, ok := query[protocol.GameParameter]
	switch {
	case game == "":
		return nil
	case !ok:
		query.Set(protocol.GameParameter, game)
		server.RawQuery = query.Encode()
		return nil
	case len(named) == 1 && named[0] == game:
		return nil
	}
	return fmt.Errorf("-game is %q, and the server's URL says %s=%s; give one of them", game, protocol.GameParameter, strings.Join(named, ", "))
}
