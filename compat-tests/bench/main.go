// Bench measures the Go server, the official Node.js server, the packages engineio and
// socketio without the game, the bare Socket.IO library, and the original's stand-in on
// Flask-SocketIO, in turn within one run. It prints a table with the ratios and their
// targets. Ratios are less sensitive to other load on the machine than times. It needs
// Linux.
//
//	PYTHON=$(compat-tests/setup) go run ./compat-tests/bench
//	go run ./compat-tests/bench -row acks,cpu -only go,bare -seconds 5
//	go run ./compat-tests/bench -row acks -only go -profile /tmp/profile
//
// The servers and the clients of the row kill are separate processes. The load is this
// process.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"counting/compat-tests/results"
)

// bench is one run.
type bench struct {
	candidates []candidate // all
	only       []string    // the names of those that are measured
	seconds    time.Duration
	reps       int
	profiles   string // directory, or ""
	games      string // GAMESxRATE, separated by commas
	bin, dir   string // programs, data
	python     string
	node       string // version, if it is measured
	table      table
	notes      []string
	started    []*server
}

// rows are the measurements, in the order of the table.
var rows = []struct {
	name    string
	measure func(*bench) error
}{
	{"acks", (*bench).acks},
	{"turns", (*bench).oneInFlight},
	{"polling", (*bench).polling},
	{"connects", (*bench).connects},
	{"memory", (*bench).memory},
	{"idle", (*bench).idle},
	{"start", (*bench).starting},
	{"long", (*bench).longFile},
	{"cold", (*bench).coldFile},
	{"stream", (*bench).stream},
	{"games", (*bench).manyGames},
	{"kill", (*bench).kill},
	{"spelling", (*bench).spelling},
}

func main() {
	b := new(bench)
	var names []string
	for _, r := range rows {
		names = append(names, r.name)
	}
	row := flag.String("row", strings.Join(names, ","), "the `rows` to measure, separated by commas")
	only := flag.String("only", strings.Join([]string{goServer, node, packages, synced, bare, flask, threading}, ","), "the `servers` to measure, separated by commas")
	seconds := flag.Float64("seconds", 2, "the `duration` of each measurement in seconds")
	flag.IntVar(&b.reps, "reps", 3, "the `number` of repetitions, in turn with the other servers; the result is the median")
	flag.StringVar(&b.games, "games", "10x10,100x10,1000x5,1000x10,5000x10", "the `sizes` of the row games: games x numbers/s of each of the two clients of a game, separated by commas")
	flag.StringVar(&b.profiles, "profile", "", "write CPU profiles of the Go server during the last repetition of the rows acks, connects and games, and the program, into this `directory`")
	into := flag.String("into", "", "write the table into the section bench of this Markdown `file`")
	flag.Parse()
	b.seconds = time.Duration(*seconds * float64(time.Second))
	b.only = strings.Split(*only, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx, strings.Split(*row, ","), *into); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, names []string, into string) (err error) {
	if b.dir, err = os.MkdirTemp("", "counting-bench"); err != nil {
		return err
	}
	defer func() {
		for _, s := range b.started { // a running one would write into b.dir
			s.kill()
		}
		err = errors.Join(err, os.RemoveAll(b.dir))
	}()
	if err := b.build(); err != nil {
		return err
	}
	syscall.Sync() // or the first syncs also write the programs
	began := time.Now()
	others, _ := os.ReadFile("/proc/loadavg")
	for _, r := range rows {
		if !slices.Contains(names, r.name) {
			continue
		}
		if err := r.measure(b); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
	}
	busy, _, _ := strings.Cut(string(others), " ")
	b.notes = append(b.notes, "Load average of the machine at the start of this run: "+busy+".")
	text := b.versions() + "\n\n" + b.table.String()
	for _, note := range append(b.notes,
		"In parentheses: the cores that the load used. With a third of a core or more, a row may show the limit of the load and not of the server, and has a remark.",
		"Flask in threading mode does not serve WebSocket, as the original's requirements lack simple-websocket: its clients poll.") {
		text += "\n- " + note
	}
	text += "\n"
	fmt.Printf("\n%s\nmeasured in %.0f s\n", text, time.Since(began).Seconds())
	if into == "" {
		return nil
	}
	return results.Write(into, "bench", text)
}

// build builds the programs, and finds Python and Node.js.
func (b *bench) build() error {
	b.bin = b.dir
	if b.profiles != "" {
		b.bin = b.profiles
	}
	build := []string{"build", "-trimpath"}
	if b.profiles != "" {
		build = append(build, "-tags", "pprof")
	}
	for name, pkg := range map[string]string{"server": "./server", "bare": "./compat-tests/bench/bare", "echo": "./compat-tests/bench/echo", "client": "./clients"} {
		build := append(slices.Clone(build), "-o", filepath.Join(b.bin, name), pkg)
		command := exec.Command("go", build...)
		command.Env = append(os.Environ(), "CGO_ENABLED=0") // as in the images
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
		}
	}
	if b.python = os.Getenv("PYTHON"); b.python == "" {
		b.python = "/usr/bin/python3"
	}
	if slices.Contains(b.only, node) {
		version, err := nodeVersion()
		if err != nil {
			return err
		}
		b.node = version
	}
	b.candidates = candidates(b.bin, b.python)
	b.table.candidates = b.candidates
	for _, name := range b.only {
		if !slices.ContainsFunc(b.candidates, func(s candidate) bool { return s.name == name }) {
			return fmt.Errorf("-only: unknown server %q", name)
		}
	}
	return nil
}

func (b *bench) candidate(name string) candidate {
	return b.candidates[slices.IndexFunc(b.candidates, func(s candidate) bool { return s.name == name })]
}

// measured returns those of the servers that -only names.
func (b *bench) measured(names ...string) (measured []string) {
	for _, name := range names {
		if slices.Contains(b.only, name) {
			measured = append(measured, name)
		}
	}
	return measured
}

// versions returns the date, the machine and the versions of what is measured.
func (b *bench) versions() string {
	const ask = `import platform, importlib.metadata as m
print("Python", platform.python_version() + ",", ", ".join(p + " " + m.version(p) for p in ("Flask-SocketIO", "python-socketio", "python-engineio", "eventlet", "werkzeug")))`
	stack, err := exec.Command(b.python, "-c", ask).Output()
	if err != nil {
		stack = []byte("no Python")
	}
	model := "unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	revision, _ := exec.Command("git", "describe", "--always", "--dirty").Output()
	parts := []string{strings.TrimSpace(string(stack)), "bare library: github.com/zishang520/socket.io/v2 v2.5.0"}
	if b.node != "" {
		parts = append([]string{b.node}, parts...)
	}
	return fmt.Sprintf("%s %s. Server at %s; %s.", results.Stamp(), model, strings.TrimSpace(string(revision)), strings.Join(parts, "; "))
}
