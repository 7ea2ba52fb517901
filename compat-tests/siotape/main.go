// Command siotape records what passes between Socket.IO clients and a server,
// plays the clients' side of it against another server, and says where that one
// does something else.
//
//	siotape record -target http://localhost:5000 -out chat.jsonl
//	siotape replay -target http://localhost:6000 chat.jsonl
//
// It works from outside, over polling and WebSocket and from the one to the
// other, with servers in any language. README.md has a tour.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// Exit codes.
const (
	exitSame      = 0 // done; of a replay: the same
	exitDifferent = 1 // a replay found differences
	exitFailed    = 2 // it could not be done
	exitInPart    = 3 // done, but for what is not understood, or not to be compared
)

const usage = `siotape records Socket.IO traffic and replays it against another server.

  siotape record   stand between clients and a server, and write a recording
  siotape replay   play recordings against a server, and say what differs
  siotape learn    play a recording against its own server, and propose rules
  siotape show     print a recording as text or as HAR

  siotape COMMAND -h explains a command; siotape -version prints the version.

Exit codes: 0 done, or the same; 1 different; 2 it could not be done;
3 done, but something was not understood or could not be compared.
`

func main() {
	log.SetOutput(io.Discard) // of net/http, about servers that are recorded as they are
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs a command and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	commands := map[string]func(context.Context, []string, io.Writer, io.Writer) (int, error){
		"record": record, "replay": replayAll, "learn": learn, "show": show,
	}
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitFailed
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		fmt.Fprint(stdout, usage)
		return exitSame
	case "-version", "--version", "version":
		fmt.Fprintln(stdout, "siotape", version())
		return exitSame
	}
	command := commands[args[0]]
	if command == nil {
		fmt.Fprintf(stderr, "siotape: there is no command %q\n\n%s", args[0], usage)
		return exitFailed
	}
	code, err := command(ctx, args[1:], stdout, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitSame
	}
	if err != nil {
		fmt.Fprintf(stderr, "siotape %s: %v\n", args[0], err)
		return exitFailed
	}
	return code
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	return v
}

// newFlags returns the flags of a command whose -h prints about and the flags.
func newFlags(name, synopsis, about string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "usage: siotape %s %s\n\n%s\n", name, synopsis, about)
		flags.PrintDefaults()
	}
	return flags
}

// errUsage is for arguments that are missing: the usage was printed.
var errUsage = errors.New("see the usage above")
