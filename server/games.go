package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"counting/server/forwarding"
	"counting/server/game"
	"counting/server/live"
	"counting/server/lobby"
	"counting/server/metrics"
	"counting/server/numbersfile"
	"counting/server/page"
	"counting/server/protocol"
	"counting/server/room"
	"counting/server/store"
)

const (
	// gameIdleTimeout is how long a game without clients and readers stays open:
	// longer than a supervisor may take to restart a client.
	gameIdleTimeout = time.Minute
	// acquireTimeout is how long a client or a reader waits until a game is open. A
	// Python client waits 5 s for an answer.
	acquireTimeout = 4 * time.Second
	// keptGames times -max-games is how many games the store may keep.
	keptGames = 10
	// closeTimeout is how long closing a game may take before it is no longer waited
	// for. The game cannot be opened again before it is closed.
	closeTimeout = time.Minute
	// checkTimeout is how long the owner may take to report that it is ready. The
	// probes of Kubernetes wait 1 s.
	checkTimeout = 700 * time.Millisecond
)

// games holds the games of this server, by name. It opens and closes them for the
// lobby, which decides when.
type games struct {
	config config
	store  store.Store
	// openFile opens the file of faithful mode, which has one game.
	openFile  func(context.Context) (*numbersfile.File, error)
	forwarder *forwarding.Forwarder
	hub       *live.Hub
	metrics   *metrics.Metrics
	log       *slog.Logger
	failed    chan error               // the error that ends the server
	assets    string                   // the version of the page's files
	host      string                   // "" if unknown
	main      atomic.Pointer[openGame] // the default game, if it stays open: see openMain
	stopping  atomic.Bool              // the server is: no game is opened any more
	*lobby.Lobby[*openGame]
}

// openGame is an open game: its count, the room that owns it, and its observers.
type openGame struct {
	count   countWriter
	opened  store.Opened
	room    *room.Room
	feed    *live.Feed
	metrics *metrics.Game
}

// countWriter is a store.Count, or a faithfulCount.
type countWriter interface {
	Run(store.Callbacks) error
	Ready() error
	Confirm(context.Context) error
	Close(context.Context) error
}

// newGames returns games of which none is open.
func newGames(c config, s store.Store, forwarder *forwarding.Forwarder, hub *live.Hub, counts *metrics.Metrics, log *slog.Logger) *games {
	maxOpen := c.maxGames
	if maxOpen > 0 {
		maxOpen++ // the default game is always open
	}
	g := &games{config: c, store: s, forwarder: forwarder, hub: hub, metrics: counts, log: log, failed: make(chan error, 1), assets: page.Version()}
	g.host = hostname() // without a name the page shows none
	g.Lobby = lobby.New(lobby.Options[*openGame]{
		Open:        g.open,
		Close:       g.close,
		MaxGames:    maxOpen,
		IdleTimeout: gameIdleTimeout,
	})
	return g
}

// ownsAll reports whether this server owns all games.
func (g *games) ownsAll() bool {
	select {
	case <-g.store.Owned():
		return true
	default:
		return false
	}
}

// keepMain opens the default game as soon as this server owns all games, and keeps it
// open. The error is that of opening it now, if this server owns all games already.
func (g *games) keepMain(ctx context.Context) error {
	owned := g.store.Owned()
	switch {
	case owned == nil:
		return nil // it is opened on demand, like any game
	case g.ownsAll():
		return g.openMain(ctx)
	}
	go func() {
		select {
		case <-owned:
			if err := g.openMain(ctx); err != nil && ctx.Err() == nil {
				g.fail(err)
			}
		case <-ctx.Done():
		}
	}()
	return nil
}

func (g *games) openMain(ctx context.Context) error {
	o, _, err := g.Acquire(ctx, store.Default, true)
	if err == nil {
		g.main.Store(o)
	}
	return err
}

// errNotAllowed is the error for a game that a client may not create.
var errNotAllowed = errors.New("there is no such game, and -games does not let clients make it")

// open opens a game for the lobby.
func (g *games) open(ctx context.Context, name string, create bool, drop func()) (*openGame, error) {
	log := gameLogger(g.log, name)
	var o *openGame
	var err error
	if g.config.faithful {
		o, err = g.openFaithful(ctx)
	} else {
		o, err = g.openCount(ctx, name, create, log)
	}
	if err == nil {
		if err = g.observe(o, name, log); err != nil {
			o.count.Close(ctx)
		}
	}
	if err != nil {
		if name != store.Default && !expected(err) && ctx.Err() == nil {
			log.Error("The game cannot be opened: " + err.Error())
		}
		return nil, err
	}
	go func() {
		err := o.count.Run(o.room.Callbacks())
		switch {
		case err == nil:
		case name == store.Default && g.store.Owned() != nil:
			g.fail(err)
		case g.stopping.Load():
			log.Error("The game is closed: " + err.Error())
		default:
			log.Error("The game is closed, and opened again for the next client: " + err.Error())
			drop()
		}
	}()
	return o, nil
}

// openCount opens a game of default mode, without its observers.
func (g *games) openCount(ctx context.Context, name string, create bool, log *slog.Logger) (*openGame, error) {
	allowed := name == store.Default || g.config.mayCreate(name)
	count, err := g.store.Open(ctx, name, create && allowed)
	if errors.Is(err, store.ErrNotFound) && create {
		err = errNotAllowed
	}
	if err != nil {
		return nil, err
	}
	opened := count.Opened()
	what := "the game"
	if opened.Path != "" {
		what = numbersfile.Name
	}
	log.Info(fmt.Sprintf("Opened %s: %s.", what, opened.Text), "last", opened.Last)
	rules := game.New(opened.Last)
	rules.EndAt(g.config.limit)
	return &openGame{
		count:  count,
		opened: opened,
		room:   room.New(rules, room.Options{Count: count, Last: opened.Last, Log: log, StallTimeout: g.config.stallTimeout, Fail: g.fail}),
	}, nil
}

// openFaithful opens the only game of faithful mode, without its observers.
func (g *games) openFaithful(ctx context.Context) (*openGame, error) {
	at := modified(filepath.Join(g.config.data, numbersfile.Name))
	file, err := g.openFile(ctx)
	if err != nil {
		return nil, err
	}
	r := room.New(game.NewFaithful(), room.Options{Lines: file, Log: g.log, Fail: g.fail})
	return &openGame{
		count:  faithfulCount{file, r.Dropped},
		opened: store.Opened{Unbroken: true, At: at},
		room:   r,
	}, nil
}

// observe opens the observers of a game.
func (g *games) observe(o *openGame, name string, log *slog.Logger) (err error) {
	c := g.config
	options := live.Options{
		Game:        name,
		Path:        o.opened.Path,
		Count:       o.opened.Last,
		Unbroken:    o.opened.Unbroken,
		LastAt:      o.opened.At,
		Goal:        c.goal,
		Version:     version,
		Assets:      g.assets,
		Host:        g.host,
		Sparse:      name != store.Default,
		Waiting:     o.room.Waiting,
		Written:     o.room.Written,
		Interrupted: func(i live.Interruption) { g.resumed(log, i) },
	}
	if o.opened.Path != "" {
		options.History = filepath.Join(filepath.Dir(o.opened.Path), live.HistoryName)
	}
	if o.feed, err = g.hub.Open(options); err != nil {
		return err
	}
	o.metrics = g.metrics.Open(c.goal, o.opened.Last, o.opened.At)
	o.room.Observers = []room.Observer{o.feed, o.metrics}
	return nil
}

// close closes a game for the lobby. If it has clients, its storage has failed.
func (g *games) close(name string, o *openGame) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	o.room.CutOff()
	log := gameLogger(g.log, name)
	if err := o.count.Close(ctx); err != nil && ctx.Err() != nil { // other errors are returned by Run, too
		log.Error("The game is still not closed, and cannot be opened: " + err.Error())
	}
	<-o.room.Finish()
	o.feed.Close(ctx)
	o.metrics.Close()
	log.Info("Closed " + numbersfile.Name + ".")
}

// finish waits until the observers and the log of the games have everything that has
// happened, or ctx ends.
func finish(ctx context.Context, open []*openGame) {
	for _, o := range open {
		o.room.Finish()
	}
	for _, o := range open {
		select {
		case <-o.room.Finish():
		case <-ctx.Done():
			return
		}
	}
}

// closeCounts closes the counts of all games. The error is that of ctx if not all
// numbers were written, and otherwise that of the default game if keepMain has opened
// it; Run has returned those of other games.
func (g *games) closeCounts(ctx context.Context) error {
	g.stopping.Store(true)
	main := g.main.Load()
	if g.config.faithful && main != nil { // the store does not know of it
		if err := main.count.Close(ctx); ctx.Err() != nil {
			return err
		}
	}
	switch err := g.store.Close(ctx); {
	case ctx.Err() != nil:
		return err
	case main == nil:
		return nil
	}
	return main.count.Close(ctx)
}

var errOpening = errors.New("numbers.txt is being opened")

// ready returns nil, or why numbers cannot be written. A server that stands by is
// ready if the owner is.
func (g *games) ready(r *http.Request) error {
	err := g.store.Ready()
	if owner := new(store.Elsewhere); errors.As(err, &owner) && !forwarding.IsForwarded(r) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		return g.forwarder.Check(ctx, owner)
	}
	switch main := g.main.Load(); {
	case err != nil:
		return err
	case main != nil:
		return main.count.Ready()
	case g.store.Owned() != nil:
		return errOpening
	}
	return nil
}

// standsBy reports whether another server owns all games.
func (g *games) standsBy() bool { return g.store.Owned() != nil && !g.ownsAll() }

// fail ends the server.
func (g *games) fail(err error) {
	select {
	case g.failed <- err:
	default: // the server is ending already
	}
}

// resumed reports an interruption that is over.
func (g *games) resumed(log *slog.Logger, i live.Interruption) {
	g.metrics.Interrupted(string(i.Cause), i.Seconds)
	log.Info(fmt.Sprintf("The count continues after %.1f s; the cause of the interruption was %s.", i.Seconds, i.Cause),
		"cause", string(i.Cause), "seconds", i.Seconds, "line", i.Line)
}

// counts counts the open games, and what is in them.
func (g *games) counts() (n metrics.Games) {
	for _, o := range g.Games() {
		n.Open++
		taken := o.room.Taken()
		n.Taken += taken
		n.Waiting += o.room.Waiting()
		if taken == len(protocol.Seats) {
			n.Counting++
		}
		if o.feed.Summary().State == live.InTrouble {
			n.Interrupted++
		}
	}
	return n
}

// expected reports whether the error of opening a game is a normal answer to a client's
// request, or means that another server owns the game. Such errors are not logged.
func expected(err error) bool {
	for _, e := range []error{errNotAllowed, protocol.ErrGame, store.ErrNotFound, store.ErrTooMany, store.ErrNoOwner, lobby.ErrFull, lobby.ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.As(err, new(*store.Elsewhere))
}

// faithfulCount is the numbers file of faithful mode.
type faithfulCount struct {
	*numbersfile.File
	dropped func(upTo int64)
}

func (f faithfulCount) Run(r store.Callbacks) error {
	return f.File.Run(numbersfile.Callbacks{Callbacks: r, OnDrop: f.dropped})
}

// modified returns when the file was last written, or the zero time.
func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		return time.Time{}
	}
	return info.ModTime()
}
