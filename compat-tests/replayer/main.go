// Command replayer plays recordings against a server and says where it does
// something else than what was recorded:
//
//	replayer -target http://localhost:5000 -numbers data/numbers.txt compat-tests/recordings/third-client.jsonl
//
// A recording begins on a server that has just been started on an empty data
// directory, so several recordings need several servers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"counting/compat-tests/recording"
	"counting/compat-tests/replay"
)

// Exit codes.
const (
	same      = 0
	different = 1
	failed    = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "replayer:", err)
	}
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	flags := flag.NewFlagSet("replayer", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: replayer -target URL [flags] RECORDING...")
		flags.PrintDefaults()
	}
	target := flags.String("target", "", "the server's `URL`, such as http://localhost:5000")
	numbers := flags.String("numbers", "", "compare the server's numbers.txt, this `FILE`, at the end")
	mode := flags.String("expect", "", "what NAME.`MODE`.json beside a recording says is expected to differ")
	patience := flags.Duration("patience", replay.DefaultPatience, "how much longer than the recorded server this one may take")
	play := flags.Bool("play", false, "only play the clients' side at its recorded pace and compare nothing; with a recorder in between this makes a recording")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return same, nil
	} else if err != nil {
		return failed, nil // flags has said what is wrong
	}
	if *target == "" || flags.NArg() == 0 {
		flags.Usage()
		return failed, nil
	}

	o := replay.Options{Target: *target, Patience: *patience}
	if *numbers != "" {
		o.Numbers = func() ([]string, error) { return replay.ReadNumbers(*numbers) }
	}
	code := same
	for _, name := range flags.Args() {
		r, err := recording.ReadExpected(name, *mode)
		if err != nil {
			return failed, err
		}
		if *play {
			if err := replay.Play(ctx, r, o); err != nil {
				return failed, fmt.Errorf("%s: %w", r.Name, err)
			}
			continue
		}
		d, err := replay.Replay(ctx, r, o)
		if err != nil {
			return failed, fmt.Errorf("%s: %w", r.Name, err)
		}
		if d == nil {
			fmt.Fprintf(stdout, "%s: same\n", r.Name)
			continue
		}
		fmt.Fprintf(stdout, "%s: %s\n", r.Name, d)
		code = different
	}
	return code, nil
}
