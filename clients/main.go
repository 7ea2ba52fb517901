// Client takes a seat at a counting server and counts, in turn with the
// client on the other seat.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"counting/clients/counter"
)

// exitWait is how long a signal waits for a clean end before it ends the
// process all the same, be it stuck in a stdout that nobody reads.
const exitWait = 900 * time.Millisecond

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() {
		time.Sleep(exitWait)
		os.Exit(0)
	})
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		if errors.As(err, new(usageError)) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// usageError is run's error for arguments or an environment that make no sense.
type usageError struct{ error }

// run returns nil when the count is over or ctx has ended.
func run(ctx context.Context, args []string, getenv func(string) string, stdout io.Writer) error {
	config, err := parse(args, getenv, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case errors.Is(err, errVersion):
		fmt.Fprintln(stdout, "client", builtFrom())
		return nil
	case err != nil:
		return usageError{err}
	case config.check:
		return check(ctx, config.health)
	}
	config.Out = stdout
	if config.health != "" {
		var h health
		config.Heard = h.hear
		if err := h.serve(ctx, config.health); err != nil {
			return err
		}
	}
	counter.Run(ctx, config.Config)
	return nil
}

// version is set by the build: -ldflags "-X main.version=…".
var version string

// builtFrom returns what this program was built from: what the build said, else
// what Go knows.
func builtFrom() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	return info.Main.Version + " " + info.GoVersion
}
