// Command siotape records the traffic between Socket.IO clients and a server, replays
// the clients' side of it against another server, and reports where that server behaves
// differently.
//
//	siotape record -target http://localhost:5000 -out chat.jsonl
//	siotape replay -target http://localhost:6000 chat.jsonl
//
// It works as a proxy, over polling, WebSocket and upgrades between them, with servers in
// any language. README.md describes it.
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
	exitSame      = 0 // success; of a replay: no differences
	exitDifferent = 1 // a replay found differences
	exitFailed    = 2 // the command failed
	exitInPart    = 3 // success, but something was not understood or could not be compared
)

const usage = `siotape records Socket.IO traffic and replays it against another server.

  siotape record   write a recording, as a proxy between clients and a server
  siotape replay   replay recordings against a server, and report what differs
  siotape learn    replay a recording against its own server, and propose rules
  siotape show     print a recording as text or as HAR

  siotape COMMAND -h explains a command; siotape -version prints the version.

Exit codes: 0 success, or no differences; 1 differences; 2 failure;
3 success, but something was not understood or could not be compared.
`

func main() {
	log.SetOutput(io.Discard) // net/http logs what is unusual about servers
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
		fmt.Fprintf(stderr, "siotape: unknown command %q\n\n%s", args[0], usage)
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

// newFlags returns the flag set of a command. Its usage has the synopsis, about and the
// flags.
func newFlags(name, synopsis, about string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "usage: siotape %s %s\n\n%s\n", name, synopsis, about)
		flags.PrintDefaults()
	}
	return flags
}

// errUsage is returned after the usage was printed.
var errUsage = errors.New("see the usage above")
