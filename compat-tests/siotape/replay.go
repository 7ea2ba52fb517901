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

const aboutReplay = `Plays the clients' side of recordings against a server and says where it does
something else than was recorded, but for what the rules file forgives.

  siotape replay -target http://localhost:6000 chat.jsonl
  siotape replay -start 'node server.js' recordings/*.jsonl

A server carries its state from one recording to the next: with -start each
recording gets a server of its own.

Exit codes: 0 the same; 1 different; 2 it could not be played; 3 the same, but
for what of the recording could not be compared.
`

// usageError makes of the flag package's errors, which it has printed, errUsage.
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
	mode := flags.String("expect", "", "what NAME.`MODE`.json beside a recording says is expected to differ")
	asJSON := flags.Bool("json", false, "print the results as JSON")
	junit := flags.String("junit", "", "write the results as JUnit XML to this `FILE`")
	all := flags.Bool("all", false, "print every difference, not one of each kind")
	play := flags.Bool("play", false, "only play the clients' side, at its recorded pace, and compare nothing; with\nsiotape record in between this makes a recording of one that is written by hand")
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
		return exitSame, p.playAll(ctx, flags.Args(), o)
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

// replay plays one recording, against a server of its own if -start is given.
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

func (p *playFlags) playAll(ctx context.Context, names []string, o replay.Options) error {
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
		err = replay.Play(ctx, r, o)
		s.stop()
		if err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	return nil
}

func createFile(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}
