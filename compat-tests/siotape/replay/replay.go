// Package replay plays the client side of a recording against a server and
// compares what the server does with what was recorded. The rules by which it
// compares are in recordings/FORMAT.md.
package replay

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"counting/compat-tests/siotape/rules"
	"counting/compat-tests/siotape/tape"
)

// Defaults of Options.
const (
	// DefaultPatience is how much longer than the recorded server another one may
	// take for each thing.
	DefaultPatience = time.Second
	// DefaultPace is the longest pause that is kept between two things that
	// clients do, so that packets which get no answer are taken in their order.
	DefaultPace = 50 * time.Millisecond
	// DefaultQuiet is how long a server has to say nothing more at the end.
	DefaultQuiet = 2 * time.Second
	// DefaultMost is how many differences end a replay.
	DefaultMost = 20
)

// RecordedPace keeps every pause as it was.
const RecordedPace = time.Duration(1<<63 - 1)

// Options say against what a recording is played, and how.
type Options struct {
	// Target is the server, such as http://localhost:5000.
	Target string
	// Rules say what may differ; nil is nothing.
	Rules *rules.Rules
	// State returns the lines of the server's state file. If it is nil, or no
	// state was recorded, they are not compared.
	State func() ([]string, error)
	// Patience, Pace, Quiet and Most are the defaults above if they are 0.
	Patience, Pace, Quiet time.Duration
	Most                  int
	// Path, if not "", is where the server has Socket.IO, other than recorded.
	Path string
	// Host, if not "", is sent in the place of the recorded Host.
	Host string
	// Headers are sent with each request, in the place of recorded ones.
	Headers tape.Headers
	// Insecure accepts any certificate.
	Insecure bool
	// Values are sent where the recording has their names: what -redact took out.
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
	target, err := url.Parse(strings.TrimSuffix(o.Target, "/"))
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return o, nil, fmt.Errorf("target %q: want a URL such as http://localhost:5000", o.Target)
	}
	return o, target, nil
}

// A Result is what a replay found.
type Result struct {
	Name        string       `json:"recording"`
	Differences []Difference `json:"differences"`
	// Masked and Reordered count what the rules forgave: other values, and
	// packets that came in another order.
	Masked    int `json:"masked"`
	Reordered int `json:"reordered"`
	// NotCompared says what of the recording could not be judged.
	NotCompared []string `json:"not_compared,omitempty"`
	// Slowest is by how much the slowest thing came later than it was recorded.
	Slowest time.Duration `json:"slowest_ns"`
	// Stopped says that there were too many differences to go on.
	Stopped bool `json:"stopped,omitempty"`
}

// Same reports whether nothing was found.
func (r *Result) Same() bool { return len(r.Differences) == 0 }

// ErrEmpty is the error for a recording in which nothing happens.
var ErrEmpty = errors.New("the recording has no lines: there is nothing to compare")

// Replay plays r and compares. An error says that the replay itself could not
// go on: the server cannot be reached, say.
func Replay(ctx context.Context, r *tape.Recording, o Options) (*Result, error) {
	if len(r.Lines) == 0 {
		return nil, ErrEmpty
	}
	o, target, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	e := newEngine(r, o)
	p := newPlayer(ctx, e, target)
	defer p.close()
	return e.run(ctx, p)
}

// A peer does what clients did, and has the engine hear what the server does.
type peer interface {
	// play does what one step of a client says. It returns how the server refused
	// it, or "".
	play(st *step) (refused string, err error)
	// exchange makes an HTTP exchange, whose answer the engine hears later.
	exchange(step int, x tape.Exchange)
	// drain has every session take what the server still has for it.
	drain()
}

// Play plays the client's lines of r at the pace at which they were recorded,
// and compares nothing. With a recorder in between this makes a recording.
func Play(ctx context.Context, r *tape.Recording, o Options) error {
	if len(r.Lines) == 0 {
		return ErrEmpty
	}
	if o.Pace == 0 {
		o.Pace = RecordedPace
	}
	o, target, err := o.withDefaults()
	if err != nil {
		return err
	}
	clients := &tape.Recording{Header: r.Header}
	for _, l := range r.Lines {
		if l.From != tape.Server && l.NotUnderstood == "" {
			clients.Lines = append(clients.Lines, l)
		}
	}
	e := newEngine(clients, o)
	e.indifferent = true
	p := newPlayer(ctx, e, target)
	defer p.close()
	_, err = e.run(ctx, p)
	return err
}

// ReadLines returns the lines of a file, for Options.State. A file that is not
// there has no lines.
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
