// Package counter is the counting client: it takes a seat at a server and
// counts the seat's numbers, one at a time, each after the ack of the one
// before, until the limit is reached.
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

// Config says how to count.
type Config struct {
	// Server is what socketio.ParseURL returned.
	Server *url.URL
	// Limit is the last number of the count, from 1 to MaxLimit.
	Limit int64
	// Interval is the time from one of the client's numbers to the next. The
	// wait for an ack is part of it.
	Interval time.Duration
	// Stay is to remain connected when all is counted, and not to return.
	Stay bool
	// Heard, if not nil, is called whenever the server has said something. It
	// must be safe for concurrent use.
	Heard func()
	// Out gets the lines that the original client prints.
	Out io.Writer
}

// MaxLimit is the greatest Limit.
const MaxLimit = maxNumber - 1

// patience says how long a client waits for what.
type patience struct {
	// connect is for the server's CONNECT packet, in an open session. The server holds it back for
	// 5 s while the seats are taken, then refuses.
	connect time.Duration
	// seat is for a seat, from CONNECT on. The original leaves a third client
	// without one for good.
	seat time.Duration
	// resend is for an ack while the game runs. An ack may rightly take long,
	// as the number waits for the peer's, so the session is kept. But one may
	// be lost within a server (the original gives none if its disk is full),
	// so the number is sent again: a repetition harms nothing.
	resend time.Duration
	// quiet is for a game, with nothing left to count. It is longer than the
	// longest delay of a peer that was cut off or killed and started again.
	quiet time.Duration
	// linger is for a peer that is behind, an interval longer, with the limit
	// acked.
	linger time.Duration
	// print is for what is printed to be read. A client that cannot print does
	// not know how it does, nor does anybody else: it gives its seat to another.
	print time.Duration
	// retryMin and retryMax bound the delay before the next attempt to
	// connect, give or take half of it.
	retryMin, retryMax time.Duration
}

// Run counts until the limit is reached or ctx ends. It survives everything
// else: whatever goes wrong is printed, and tried again.
func Run(ctx context.Context, config Config) {
	run(ctx, config, patience{
		connect:  8 * time.Second,
		seat:     5 * time.Second,
		resend:   10 * time.Second,
		quiet:    5 * time.Second,
		linger:   time.Second,
		print:    10 * time.Second,
		retryMin: 100 * time.Millisecond,
		retryMax: 2 * time.Second,
	})
}

func run(ctx context.Context, config Config, wait patience) {
	c := client{Config: config, wait: wait, count: count{limit: config.Limit}, out: newPrinter(config.Out)}
	defer func() {
		if ctx.Err() != nil {
			wait.print = min(wait.print, lastLinesWait)
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
			delay.Reset() // no server that turns everybody away at once
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(delay.NextBackOff()):
		}
	}
}

// lastLinesWait is how long the last lines may take after a signal.
const lastLinesWait = 100 * time.Millisecond

// client is a client over all its sessions.
type client struct {
	Config
	wait      patience
	count     count
	out       *printer
	due       time.Time // when the next number is
	lastError string    // printed since the last seat
	failed    int       // how many times in a row no session could be opened
}

func (c *client) print(format string, args ...any) {
	c.out.print(fmt.Sprintf(format, args...))
}

// printError prints an error, once until a seat is taken again: a server that
// is away for a day is one line. What is not plain text is quoted, as most of
// it comes from the server.
func (c *client) printError(err error) {
	text := err.Error()
	// The port of this end is another one with each attempt.
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
