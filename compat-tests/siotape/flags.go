package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"counting/compat-tests/siotape/replay"
	"counting/compat-tests/siotape/rules"
	"counting/compat-tests/siotape/tape"
)

// connectionFlags are the flags of every command that connects to a server.
type connectionFlags struct {
	target, start, state string
	path, host           string
	headers              http.Header
	insecure             bool
}

func (c *connectionFlags) add(flags *flag.FlagSet) {
	c.headers = http.Header{}
	flags.StringVar(&c.target, "target", "", "the server's `URL`, such as http://localhost:5000")
	flags.StringVar(&c.start, "start", "", "a shell `COMMAND` that starts the server, with PORT and an empty DIR in its environment;\n"+
		"without -target, PORT is a free port")
	flags.StringVar(&c.state, "state", "", "a `FILE` of the server whose lines are compared at the end; may begin with $DIR")
	flags.StringVar(&c.path, "path", "", "the `/PATH/` of Socket.IO on the server (default: as recorded, or any)")
	flags.StringVar(&c.host, "host", "", "the `NAME` to send as Host (default: as sent by clients, or as recorded)")
	flags.Func("header", "a `NAME: VALUE` to send with each request; may be repeated", func(v string) error {
		name, value, ok := strings.Cut(v, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return errors.New("want NAME: VALUE")
		}
		c.headers.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		return nil
	})
	flags.BoolVar(&c.insecure, "insecure", false, "accept any certificate of the server")
}

// check returns an error if a flag has an invalid value.
func (c *connectionFlags) check(flags *flag.FlagSet) error {
	var wrong error
	flags.Visit(func(f *flag.Flag) {
		if f.Value.String() == "" && f.Name != "header" && f.Name != "log" && f.Name != "value" {
			wrong = fmt.Errorf("-%s is empty: give it a value or leave it out", f.Name)
		}
	})
	if wrong == nil && c.path != "" && !strings.HasPrefix(c.path, "/") {
		wrong = fmt.Errorf("-path %q: want one that begins with /", c.path)
	}
	return wrong
}

// hostPort returns the address of the target for net.Dial, and the TLS configuration, or
// nil for http.
func (c *connectionFlags) hostPort(target *url.URL) (string, *tls.Config) {
	port := target.Port()
	var config *tls.Config
	if target.Scheme == "https" {
		config = &tls.Config{ServerName: target.Hostname(), InsecureSkipVerify: c.insecure} //nolint:gosec // asked for with -insecure
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[target.Scheme]
	}
	return net.JoinHostPort(target.Hostname(), port), config
}

// playFlags are the flags of the commands that replay recordings.
type playFlags struct {
	connectionFlags
	rules, pace     string
	patience, quiet time.Duration
	most            int
	values          map[string]string
}

func (p *playFlags) add(flags *flag.FlagSet) {
	p.connectionFlags.add(flags)
	p.values = map[string]string{}
	flags.StringVar(&p.rules, "rules", "", "the rules `FILE`, or none (default: "+rules.FileName+" next to the recording)")
	flags.DurationVar(&p.patience, "patience", replay.DefaultPatience, "how much later than recorded each packet or response may arrive")
	flags.DurationVar(&p.quiet, "quiet", replay.DefaultQuiet, "how long to wait for further packets at the end")
	flags.StringVar(&p.pace, "pace", replay.DefaultPace.String(), "the longest `PAUSE` between two steps of clients; recorded keeps all pauses")
	flags.IntVar(&p.most, "most", replay.DefaultMost, "stop after this `NUMBER` of differences")
	flags.Func("value", "`REDACTED-1=VALUE`: send VALUE where the recording has REDACTED-1; may be repeated", func(v string) error {
		name, value, ok := strings.Cut(v, "=")
		if !ok || !strings.HasPrefix(name, "REDACTED-") {
			return errors.New("want REDACTED-1=VALUE")
		}
		p.values[name] = value
		return nil
	})
}

func (p *playFlags) options() (replay.Options, error) {
	o := replay.Options{
		Patience: p.patience, Quiet: p.quiet, Most: p.most, Path: p.path, Host: p.host,
		Headers: tape.Headers(p.headers), Insecure: p.insecure, Values: p.values,
	}
	if p.pace == "recorded" {
		o.Pace = replay.RecordedPace
		return o, nil
	}
	pace, err := time.ParseDuration(p.pace)
	if err != nil || pace <= 0 {
		return o, fmt.Errorf("-pace %q: want recorded or a duration such as 50ms", p.pace)
	}
	o.Pace = pace
	return o, nil
}

// rulesFor returns the rules for a recording.
func (p *playFlags) rulesFor(recording string) (*rules.Rules, error) {
	switch p.rules {
	case "":
		return rules.Beside(recording)
	case "none":
		return &rules.Rules{}, nil
	}
	return rules.ReadFile(p.rules)
}
