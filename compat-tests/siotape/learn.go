package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"counting/compat-tests/siotape/replay"
	"counting/compat-tests/siotape/rules"
	"counting/compat-tests/siotape/tape"
)

const aboutLearn = `Replays recordings against the server they were recorded from, finds values that
are different each time, such as ids and times, and proposes rules that allow
that. It repeats this until there are no differences twice in a row.

  siotape learn -start 'python3 app.py' -out rules.yaml chat.jsonl

The rules are added to the file -out, or else are printed. Read them, and write in
your own words why each value may differ: a replay does not find what a rule
allows.

Exit codes: 0 success; 1 the server differs from itself in something that no rule
should allow; 2 the recordings could not be replayed.
`

// maxRounds is how often learn replays a recording at most.
const maxRounds = 8

func learn(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	flags := newFlags("learn", "-start COMMAND [flags] RECORDING...", aboutLearn, stderr)
	var p playFlags
	p.add(flags)
	out := flags.String("out", "", "the rules `FILE` to write, or to add to")
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
	o.Most = 10_000
	rs, err := p.knownRules(*out, flags.Arg(0))
	if err != nil {
		return exitFailed, err
	}
	code, err := p.learn(ctx, flags.Args(), o, rs, stdout, stderr)
	if err != nil {
		return exitFailed, err
	}
	text, err := rs.Text()
	if err != nil {
		return exitFailed, err
	}
	text = append([]byte("# What the server may do differently each time, and why.\n"), text...)
	if *out == "" {
		_, err = stdout.Write(text)
		return code, err
	}
	if err := os.WriteFile(*out, text, 0o600); err != nil {
		return exitFailed, err
	}
	fmt.Fprintf(stdout, "Wrote %s: %d masks, %d packets in any order\n", *out, len(rs.Masks), len(rs.AnyOrder))
	return code, nil
}

// knownRules returns the rules that exist already.
func (p *playFlags) knownRules(out, recording string) (*rules.Rules, error) {
	if out == "" {
		return p.rulesFor(recording)
	}
	rs, err := rules.ReadFile(out)
	if errors.Is(err, fs.ErrNotExist) {
		return &rules.Rules{}, nil
	}
	return rs, err
}

// learn adds rules to rs until each recording was replayed twice without differences.
func (p *playFlags) learn(ctx context.Context, names []string, o replay.Options, rs *rules.Rules, stdout, stderr io.Writer) (int, error) {
	code := exitSame
	for _, name := range names {
		r, err := readRecording(name, "")
		if err != nil {
			return exitFailed, err
		}
		same := 0
		for round := 1; same < 2; round++ {
			res, rest, err := p.learnOnce(ctx, r, o, rs)
			if err != nil {
				return exitFailed, err
			}
			fmt.Fprintf(stderr, "%s, round %d: %s\n", r.Name, round, strings.TrimPrefix(summary(res), r.Name+": "))
			switch {
			case res.Same():
				same++
				continue
			case len(rest) > 0:
				for _, d := range replay.Grouped(rest) {
					fmt.Fprintf(stdout, "%s, which no rule should allow: %s\n\n", r.Name, d)
				}
				code = exitDifferent
			case round == maxRounds:
				return exitFailed, fmt.Errorf("%s: after %d rounds there are still new differences", r.Name, round)
			default:
				same = 0
				continue
			}
			break
		}
	}
	return code, nil
}

func (p *playFlags) learnOnce(ctx context.Context, r *tape.Recording, o replay.Options, rs *rules.Rules) (*replay.Result, []replay.Difference, error) {
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
	proposed, rest := replay.Propose(r, res)
	rs.Add(&proposed)
	if proposed.IsEmpty() && len(rest) == 0 && !res.Same() {
		rest = res.Differences
	}
	if len(rest) > 0 && !proposed.IsEmpty() {
		rest = nil // the new rules may explain the rest
	}
	return res, rest, nil
}

func summary(res *replay.Result) string {
	if res.Same() {
		return "same" + allowed(res)
	}
	return fmt.Sprintf("%d differences%s", len(res.Differences), allowed(res))
}
