// Package counter is the counting client: it takes a seat at a server and sends the
// seat's numbers, each after the ack of the previous one, until the limit is reached.
package counter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Config configures Run.
type Config struct {
	// Server is a URL returned by socketio.ParseURL.
	Server *url.URL
	// Limit is the last number of the count, from 1 to MaxLimit.
	Limit int64
	// Interval is the time from one of the client's numbers to the next. It includes the
	// wait for the ack.
	Interval time.Duration
	// Stay makes Run stay connected after the last number, and not return.
	Stay bool
	// Heard, if non-nil, is called whenever something is received from the server. It
	// must be safe for concurrent use.
	Heard func()
	// Out gets the lines that the original client prints.
	Out io.Writer
}

// MaxLimit is the greatest Limit.
const MaxLimit = maxNumber - 1

// timeouts are the client's timeouts and delays.
type timeouts struct {
	// connect is the timeout for the server's CONNECT packet after the session was
	// opened. The server delays it for up to 5 s while the seats are taken, and then
	// refuses.
	connect time.Duration
	// seat is the timeout for a seat, from CONNECT on. The original never gives a third
	// client a seat.
	seat time.Duration
	// resend is how long to wait for an ack, while the game runs, before the number is
	// sent again. The session is kept, since an ack may take long while the number waits
	// for the peer's. But an ack may be lost within a server (the original sends none if
	// its disk is full), and repeating a number is safe.
	resend time.Duration
	// idle is how long to stay without a game and without numbers left to count. It is
	// longer than the longest delay of a peer that was cut off, or killed and restarted.
	idle time.Duration
	// linger is how long, plus one interval, to stay after the limit is acked, so that a
	// slower peer can finish.
	linger time.Duration
	// print is the timeout for output to be read. A client whose output is not read
	// cannot be observed, so it leaves its seat to another one.
	print time.Duration
	// retryMin and retryMax bound the delay before the next attempt to connect, which is
	// randomized by half of it.
	retryMin, retryMax time.Duration
}

// Run counts until the limit is reached or ctx ends. Any error is printed, and the client
// tries again.
func Run(ctx context.Context, config Config) {
	run(ctx, config, timeouts{
		connect:  8 * time.Second,
		seat:     5 * time.Second,
		resend:   10 * time.Second,
		idle:     5 * time.Second,
		linger:   time.Second,
		print:    10 * time.Second,
		retryMin: 100 * time.Millisecond,
		retryMax: 2 * time.Second,
	})
}

func run(ctx context.Context, config Config, wait timeouts) {
	c := client{Config: config, wait: wait, count: count{limit: config.Limit}, out: newPrinter(config.Out)}
	defer func() {
		if ctx.Err() != nil {
			wait.print = min(wait.print, lastLinesTimeout)
		}
		c.out.close(wait.print)
	}()
	delay := &backoff.ExponentialBackOff{
		InitialInterval:     wait.retryMin,
		RandomizationFactor: 0.5,
		Multiplier:          1.5,
		MaxInterval:         wait.retryMax,
	}
	for {
		began, acked := time.Now(), c.count.acked
		err := c.session(ctx)
		if ctx.Err() != nil || err == nil || c.count.stage() == ended && !c.Stay {
			return
		}
		c.printError(err)
		for c.out.stuck(wait.print) && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(wait.print / 100):
			}
		}
		if c.count.acked > acked || time.Since(began) > wait.retryMax {
			delay.Reset() // the server does not refuse every session immediately
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(delay.NextBackOff()):
		}
	}
}

// lastLinesTimeout bounds the printing of the last lines after a signal.
const lastLinesTimeout = 100 * time.Millisecond

// client is the state of a client over all its sessions.
type client struct {
	Config
	wait      timeouts
	count     count
	out       *printer
	due       time.Time // when the next number is due
	lastError string    // the last one printed since the last seat
	failed    int       // how many consecutive attempts to open a session failed
}

func (c *client) print(format string, args ...any) {
	c.out.print(fmt.Sprintf(format, args...))
}

// printError prints an error, unless it is the same as the last one since a seat was
// taken: a server that is down for a day results in one line. Text that is not printable
// is quoted, since it may come from the server.
func (c *client) printError(err error) {
	text := err.Error()
	// The local port differs with each attempt.
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Source != nil {
		text = strings.ReplaceAll(text, op.Source.String()+"->", "")
	}
	if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		text = strconv.Quote(text)
	}
	if text != c.lastError {
		c.lastError = text
		c.print("Error: %.300s", text)
	}
}
