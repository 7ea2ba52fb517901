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

// exitTimeout is how long after a signal the process exits, even if a clean end is not
// possible, for instance because nobody reads stdout.
const exitTimeout = 900 * time.Millisecond

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() {
		time.Sleep(exitTimeout)
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

// usageError is run's error for invalid arguments or environment variables.
type usageError struct{ error }

// run runs the client. It returns nil after the last number, or when ctx has ended.
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

// builtFrom returns the version of this program: the one set by the build, or that of
// the module and of Go.
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
