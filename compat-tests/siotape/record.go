package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"counting/compat-tests/siotape/capture"
	"counting/compat-tests/siotape/replay"
	"counting/compat-tests/siotape/tape"
)

const aboutRecord = `Forwards bytes unchanged between clients and a server, and records them in FILE.
Point clients at -listen. Ctrl-C or SIGTERM ends the recording. Until then it is
in FILE.part, complete up to the last second even if siotape is killed.

  siotape record -target http://localhost:5000 -listen localhost:5001 -out chat.jsonl

Exit codes: 0 success; 2 failure; 3 success, but something was not understood; the
recording says what.
`

// record runs until ctx is done.
func record(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	flags := newFlags("record", "-target URL -out FILE [flags]", aboutRecord, stderr)
	var c connectionFlags
	c.add(flags)
	listen := flags.String("listen", "localhost:5001", "the `ADDRESS` that clients connect to")
	out := flags.String("out", "", "the `FILE` to write")
	var header tape.Header
	flags.StringVar(&header.Name, "name", "", "the recording's name (default: the file's)")
	flags.StringVar(&header.About, "about", "", "one sentence on what happens in it")
	flags.StringVar(&header.Server, "server", "", "the server's libraries and their versions")
	redact := flags.Bool("redact", false, "replace cookies, tokens and passwords by REDACTED-1, REDACTED-2, …")
	secrets := flags.String("secrets", capture.Secret, "with -redact, a `REGEXP` for the names of secrets")
	logs := map[string]string{}
	flags.Func("log", "`NAME=FILE`: keep the output of a program in FILE with the recording; may be repeated", func(v string) error {
		name, file, ok := strings.Cut(v, "=")
		if !ok {
			return errors.New("want NAME=FILE")
		}
		logs[name] = file
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return exitFailed, usageError(err)
	}
	if err := c.check(flags); err != nil {
		return exitFailed, err
	}
	if *out == "" || flags.NArg() > 0 {
		flags.Usage()
		return exitFailed, errUsage
	}
	if header.Name == "" {
		header.Name = strings.TrimSuffix(filepath.Base(*out), ".jsonl")
	}
	o := capture.Options{Host: c.host, Header: http.Header(c.headers), Path: c.path}
	if *redact {
		var err error
		if o.Redact, err = capture.NewRedactor(*secrets); err != nil {
			return exitFailed, fmt.Errorf("-secrets: %w", err)
		}
	}

	// An error here should come before the server is started.
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *listen)
	if err != nil {
		return exitFailed, err
	}
	defer l.Close()
	s, err := c.begin(ctx)
	if err != nil {
		return exitFailed, err
	}
	defer s.stop()
	target, err := tape.ParseTarget(s.url)
	if err != nil {
		return exitFailed, err
	}
	o.Target, o.TLS = c.hostPort(target)
	header.Version, header.Recorded, header.Target = tape.Version, time.Now().Format(time.DateOnly), s.url
	w, err := tape.Create(*out, header)
	if err != nil {
		return exitFailed, err
	}
	fmt.Fprintf(stdout, "Recording %s on http://%s\n", s.url, l.Addr())
	p := capture.NewProxy(o, w)
	if err := p.Serve(ctx, l); err != nil {
		return exitFailed, err
	}
	end := tape.End{Counts: p.Counts()}
	if end.Logs, err = readLogs(logs); err != nil {
		return exitFailed, err
	}
	if s.state != "" {
		lines, err := replay.ReadLines(s.state)
		if err != nil {
			return exitFailed, err
		}
		end.State = &lines
	}
	if err := w.Finish(end); err != nil {
		return exitFailed, fmt.Errorf("%s: %w", *out, err)
	}
	fmt.Fprintf(stdout, "Wrote %s: %s\n", *out, end.Counts)
	return c.conclude(p, end.Counts, *out, stdout), nil
}

// conclude prints warnings about the recording, and returns the exit code.
func (c *connectionFlags) conclude(p *capture.Proxy, counts tape.Counts, out string, stdout io.Writer) int {
	code := exitSame
	if counts.NotUnderstood > 0 {
		fmt.Fprintf(stdout, "Not everything was understood: siotape show %s says what was not\n", out)
		code = exitInPart
	}
	elsewhere, there := p.Misplaced()
	if c.path != "" && !there {
		fmt.Fprintf(stdout, "No session was opened at %s\n", c.path)
		code = exitInPart
	}
	if c.path != "" && len(elsewhere) > 0 {
		fmt.Fprintf(stdout, "Sessions were opened at %s, not at %s; they were recorded\n", strings.Join(elsewhere, ", "), c.path)
		code = exitInPart
	}
	if counts.Sessions == 0 && counts.Exchanges == 0 {
		fmt.Fprintln(stdout, "Nothing was recorded that could be replayed")
		code = exitInPart
	}
	return code
}

func readLogs(files map[string]string) (map[string][]string, error) {
	var logs map[string][]string
	for name, file := range files {
		lines, err := replay.ReadLines(file)
		if err != nil {
			return nil, err
		}
		if logs == nil {
			logs = map[string][]string{}
		}
		logs[name] = lines
	}
	return logs, nil
}
