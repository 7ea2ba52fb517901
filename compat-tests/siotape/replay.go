package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"counting/compat-tests/siotape/replay"
	"counting/compat-tests/siotape/rules"
)

const aboutReplay = `Replays the clients' side of recordings against a server and reports where the
server does not do what was recorded, except for what the rules file allows.

  siotape replay -target http://localhost:6000 chat.jsonl
  siotape replay -start 'node server.js' recordings/*.jsonl

A server keeps its state from one recording to the next: with -start each
recording gets a server of its own.

Exit codes: 0 no differences; 1 differences; 2 it could not be replayed; 3 no
differences, but a part of the recording could not be compared.
`

// usageError replaces errors that the flag package has printed by errUsage.
func usageError(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	return errUsage
}

func replayAll(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	flags := newFlags("replay", "-target URL [flags] RECORDING...", aboutReplay, stderr)
	var p playFlags
	p.add(flags)
	mode := flags.String("expect", "", "apply the expected differences in NAME.`MODE`.json next to a recording")
	asJSON := flags.Bool("json", false, "print the results as JSON")
	junit := flags.String("junit", "", "write the results as JUnit XML to this `FILE`")
	all := flags.Bool("all", false, "print all differences, not only the first of each kind")
	play := flags.Bool("play", false, "only send what clients sent, at the recorded pace, and compare nothing; through\nsiotape record this completes a recording that was written by hand")
	if err := flags.Parse(args); err != nil {
		return exitFailed, usageError(err)
	}
	if err := p.check(flags); err != nil {
		return exitFailed, err
	}
	if p.target == "" && p.start == "" || flags.NArg() == 0 {
		flags.Usage()
		return exitFailed, errUsage
	}
	o, err := p.options()
	if err != nil {
		return exitFailed, err
	}
	if *play {
		o.Pace = 0
		return exitSame, p.playAll(ctx, flags.Args(), o, stderr)
	}
	r := &report{stdout: stdout, json: *asJSON, all: *all}
	used := map[string]*rules.Rules{}
	for _, name := range flags.Args() {
		res, rs, err := p.replay(ctx, name, *mode, o)
		if err != nil {
			r.failed(name, err)
			continue
		}
		used[name] = rs
		r.add(res)
	}
	if *junit != "" {
		if err := r.writeJUnit(*junit); err != nil {
			return exitFailed, err
		}
	}
	return r.end(stderr)
}

// replay replays one recording, against a server of its own if -start is given.
func (p *playFlags) replay(ctx context.Context, name, mode string, o replay.Options) (*replay.Result, *rules.Rules, error) {
	r, err := readRecording(name, mode)
	if err != nil {
		return nil, nil, err
	}
	rs, err := p.rulesFor(name)
	if err != nil {
		return nil, nil, err
	}
	s, err := p.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer s.stop()
	o.Target, o.State, o.Rules = s.url, s.lines(), rs
	res, err := replay.Replay(ctx, r, o)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", r.Name, err)
	}
	return res, rs, nil
}

func (p *playFlags) playAll(ctx context.Context, names []string, o replay.Options, stderr io.Writer) error {
	for _, name := range names {
		r, err := readRecording(name, "")
		if err != nil {
			return err
		}
		s, err := p.begin(ctx)
		if err != nil {
			return err
		}
		o.Target = s.url
		refusals, err := replay.Play(ctx, r, o)
		s.stop()
		for _, refusal := range refusals {
			fmt.Fprintf(stderr, "%s: the server has refused %s\n", r.Name, refusal)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	return nil
}

func createFile(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}
