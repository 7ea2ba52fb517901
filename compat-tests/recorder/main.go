// Command recorder stands between Socket.IO clients and a server and writes
// down what passes, in the format of compat-tests/recordings/FORMAT.md:
//
//	recorder -target http://localhost:5000 -listen localhost:5001 -out session.jsonl -numbers data/numbers.txt
//
// Clients are pointed at -listen. SIGINT or SIGTERM ends the recording and
// writes the file. Until then everything that passed is held in memory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"counting/compat-tests/recording"
	"counting/compat-tests/replay"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "recorder:", err)
			os.Exit(1)
		}
	}
}

type options struct {
	target, listen, out string
	numbers, log, path  string
	header              recording.Header
	clients             map[string]string // name to file
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{clients: map[string]string{}}
	flags := flag.NewFlagSet("recorder", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.target, "target", "", "the server's `URL`, such as http://localhost:5000")
	flags.StringVar(&o.listen, "listen", "localhost:5001", "the `ADDRESS` that clients connect to")
	flags.StringVar(&o.out, "out", "", "the `FILE` to write")
	flags.StringVar(&o.numbers, "numbers", "", "the server's numbers.txt, a `FILE`, to read at the end")
	flags.StringVar(&o.log, "log", "", "a `FILE` with what the server printed, to read at the end")
	flags.Func("client-log", "`NAME=FILE` with what a client printed, to read at the end; may be given again", func(v string) error {
		name, file, ok := strings.Cut(v, "=")
		if !ok {
			return errors.New("want NAME=FILE")
		}
		o.clients[name] = file
		return nil
	})
	flags.StringVar(&o.path, "path", "/socket.io/", "where the server has Engine.IO")
	flags.StringVar(&o.header.Name, "name", "", "the recording's name (default: the file's)")
	flags.StringVar(&o.header.About, "about", "", "one sentence on what happens in it")
	flags.StringVar(&o.header.Server, "server", "", "the server's libraries and their versions")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if o.target == "" || o.out == "" {
		return nil, errors.New("-target and -out are needed; -h explains them")
	}
	if o.header.Name == "" {
		o.header.Name = strings.TrimSuffix(filepath.Base(o.out), ".jsonl")
	}
	return o, nil
}

// run records until ctx is done.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	host, err := hostPort(o.target)
	if err != nil {
		return err
	}
	// Opened now: a file that cannot be written is better known before.
	out, err := os.OpenFile(o.out, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Recording %s on http://%s\n", o.target, l.Addr())
	p := newProxy(host)
	if err := p.serve(ctx, l); err != nil {
		return err
	}
	r, err := o.recording(p)
	if err != nil {
		return err
	}
	if err := out.Truncate(0); err != nil {
		return err
	}
	if err := errors.Join(r.Write(out), out.Close()); err != nil {
		return fmt.Errorf("%s: %w", o.out, err)
	}
	fmt.Fprintf(stdout, "Wrote %d lines to %s\n", len(r.Lines)+1, o.out)
	return nil
}

func hostPort(target string) (string, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" {
		return "", fmt.Errorf("-target %q: want a URL such as http://localhost:5000", target)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// recording puts together what the proxy saw and what the others left behind.
func (o *options) recording(p *proxy) (*recording.Recording, error) {
	r := &recording.Recording{Header: o.header, Lines: p.lines(o.path)}
	r.Version, r.Recorded = recording.Version, time.Now().Format(time.DateOnly)
	var err error
	if r.Numbers, err = readLines(o.numbers); err != nil {
		return nil, err
	}
	if r.ServerLog, err = readLines(o.log); err != nil {
		return nil, err
	}
	r.ServerLog = slices.DeleteFunc(r.ServerLog, func(l string) bool { return l == "Server starting..." })
	for name, file := range o.clients {
		if r.ClientLog == nil {
			r.ClientLog = map[string][]string{}
		}
		if r.ClientLog[name], err = readLines(file); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// readLines reads a file that may be missing: nothing was written to it then.
func readLines(name string) ([]string, error) {
	if name == "" {
		return []string{}, nil
	}
	lines, err := replay.ReadNumbers(name)
	if errors.Is(err, os.ErrNotExist) {
		return []string{}, nil
	}
	return lines, err
}
