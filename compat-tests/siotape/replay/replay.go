// Package replay replays the clients' side of a recording against a server, and compares
// what the server does with what was recorded. recordings/FORMAT.md says how.
package replay

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strings"
	"time"

	"counting/compat-tests/siotape/rules"
	"counting/compat-tests/siotape/tape"
)

// Defaults of Options.
const (
	// DefaultPatience is how much later than recorded each item may arrive.
	DefaultPatience = time.Second
	// DefaultPace is the longest pause between two steps of clients. It keeps packets
	// without an answer in order.
	DefaultPace = 50 * time.Millisecond
	// DefaultQuiet is how long a replay waits for further packets at the end.
	DefaultQuiet = 2 * time.Second
	// DefaultMost is the number of differences after which a replay stops.
	DefaultMost = 20
)

// RecordedPace keeps all recorded pauses.
const RecordedPace = time.Duration(1<<63 - 1)

// Options are the options of a replay.
type Options struct {
	// Target is the server, such as http://localhost:5000.
	Target string
	// Rules say what may differ. If nil, nothing may.
	Rules *rules.Rules
	// State returns the lines of the server's state file. If it is nil, or no
	// state was recorded, they are not compared.
	State func() ([]string, error)
	// Patience, Pace, Quiet and Most are the defaults above if they are 0.
	Patience, Pace, Quiet time.Duration
	Most                  int
	// Path, if not "", replaces the recorded path of Socket.IO.
	Path string
	// Host, if not "", replaces the recorded Host.
	Host string
	// Headers are sent with each request, and replace recorded ones.
	Headers tape.Headers
	// Insecure accepts any certificate.
	Insecure bool
	// Values are sent in place of their names, such as REDACTED-1.
	Values map[string]string
}

func (o Options) withDefaults() (Options, *url.URL, error) {
	if o.Rules == nil {
		o.Rules = &rules.Rules{}
	}
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.Patience, DefaultPatience)
	set(&o.Pace, DefaultPace)
	set(&o.Quiet, DefaultQuiet)
	if o.Most == 0 {
		o.Most = DefaultMost
	}
	target, err := tape.ParseTarget(o.Target)
	return o, target, err
}

// A Result is the result of a replay.
type Result struct {
	Name        string       `json:"recording"`
	Differences []Difference `json:"differences"`
	// Masked and Reordered count allowed differences: other values, and packets in
	// another order.
	Masked    int `json:"masked"`
	Reordered int `json:"reordered"`
	// NotCompared lists the parts of the recording that could not be compared.
	NotCompared []string `json:"not_compared,omitempty"`
	// Slowest is the greatest delay of an item compared with the recording.
	Slowest time.Duration `json:"slowest_ns"`
	// Stopped reports whether the replay stopped after too many differences.
	Stopped bool `json:"stopped,omitempty"`
}

// Same reports whether there are no differences.
func (r *Result) Same() bool { return len(r.Differences) == 0 }

// ErrEmpty is the error for a recording in which nothing happens.
var ErrEmpty = errors.New("the recording has no lines: there is nothing to compare")

// Replay replays r and compares. It returns an error if the replay could not continue, for
// example because the server cannot be reached.
func Replay(ctx context.Context, r *tape.Recording, o Options) (*Result, error) {
	if len(r.Lines) == 0 {
		return nil, ErrEmpty
	}
	o, target, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	e := newEngine(r, o)
	p := newReplayer(ctx, e, target)
	defer p.close()
	return e.run(ctx, p)
}

// A peer does what clients did, and passes what the server does to the engine.
type peer interface {
	// play plays one step of a client. It returns the server's refusal, or "".
	play(st *step) (refused string, err error)
	// exchange sends an HTTP request. The engine receives the response later.
	exchange(step int, x tape.Exchange)
	// drain makes every session receive all pending packets.
	drain()
}

// Play sends the clients' lines of r at the recorded pace, and compares nothing. Through a
// recorder this makes a new recording. It returns what the server has refused, in words.
func Play(ctx context.Context, r *tape.Recording, o Options) (refusals []string, err error) {
	if len(r.Lines) == 0 {
		return nil, ErrEmpty
	}
	if o.Pace == 0 {
		o.Pace = RecordedPace
	}
	o, target, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	clients := &tape.Recording{Header: r.Header}
	for _, l := range r.Lines {
		if l.From != tape.Server && l.NotUnderstood == "" {
			clients.Lines = append(clients.Lines, l)
		}
	}
	e := newEngine(clients, o)
	e.playOnly = true
	p := newReplayer(ctx, e, target)
	defer p.close()
	_, err = e.run(ctx, p)
	return e.refusals, err
}

// ReadLines returns the lines of a file, for Options.State. A file that does not exist has
// no lines.
func ReadLines(name string) ([]string, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return []string{}, nil
	}
	if err != nil {
		return nil, err
	}
	if len(text) == 0 {
		return []string{}, nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), nil
}
