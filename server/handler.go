package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"counting/server/engineio"
	"counting/server/forwarding"
	"counting/server/lobby"
	"counting/server/metrics"
	"counting/server/protocol"
	"counting/server/socketio"
	"counting/server/store"
)

// gameOf returns the game that a query names, or store.Default if it names none. The
// error is an answer to the client. gameOf parses the query itself, since
// url.ParseQuery omits what it cannot decode.
func gameOf(query string) (name string, err error) {
	named := false
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if key, err := url.QueryUnescape(key); err != nil || key != protocol.GameParameter {
			continue
		}
		if named {
			return "", errors.New("the query names more than one game")
		}
		named = true
		if name, err = url.QueryUnescape(value); err != nil {
			return "", protocol.ErrGame
		}
		if err := protocol.CheckGame(name); err != nil {
			return "", err
		}
	}
	return name, nil
}

// gameOf returns the game that a request names. The original ignores the parameter.
func (g *games) gameOf(r *http.Request) (string, error) {
	if g.config.faithful {
		return store.Default, nil
	}
	return gameOf(r.URL.RawQuery)
}

// admit opens the game of a handshake. If that takes long or is not possible, clients
// handle a handshake that waits or is refused better than a CONNECT.
func (g *games) admit(w http.ResponseWriter, r *http.Request, open func(group string)) {
	if !g.ownsAll() && !forwarding.IsForwarded(r) && r.Header.Get("Upgrade") == "" {
		// A client that upgrades to a WebSocket keeps this connection for its next handshake.
		// If this machine vanishes, a Python client would wait for 5 s for the response to
		// that handshake, and then pause before it tries another server.
		w.Header().Set("Connection", "close")
	}
	status, message := http.StatusBadRequest, ""
	name, err := g.gameOf(r)
	if err != nil {
		message = err.Error()
	} else if err = g.serve(w, r, name, true, func(*openGame) { open(name) }); err != nil {
		status, message = refusalOf(name, err)
	}
	if err != nil {
		g.log.Debug("refused a handshake", "reason", message, "address", g.config.trusted.Of(r).String())
		engineio.Refuse(w, status, message, status == http.StatusServiceUnavailable)
	}
}

// answerUnknown answers a request of a session that is not on this server, but may be
// on the owner of its game.
func (g *games) answerUnknown(w http.ResponseWriter, r *http.Request) {
	name, err := g.gameOf(r)
	if err != nil || g.ownsAll() {
		engineio.RefuseSession(w)
		return
	}
	_, release, err := g.acquire(r.Context(), name, false)
	owner := new(store.Elsewhere)
	switch {
	case err == nil:
		release()
	case errors.As(err, &owner) && forwarding.IsForwarded(r):
		forwarding.Refuse(w, notOwner)
		return
	case errors.As(err, &owner):
		if err := g.forwarder.Forward(w, r, owner, 0); err != nil {
			status, message := refusalOf(name, err)
			engineio.Refuse(w, status, message, status == http.StatusServiceUnavailable)
		}
		return
	}
	engineio.RefuseSession(w)
}

// notOwner is the answer to another server that forwards a request to this one, which
// is not the owner.
const notOwner = "this server does not own the game"

// serveRetry is the time between attempts of serve.
const serveRetry = 25 * time.Millisecond

// serve opens a game and calls local, or forwards the request to the owner of the game.
// Before it calls local it confirms that this server still is the owner: a client that
// was shown a count is never shown a lower one afterwards, whichever server it asks.
// While there is no owner, or it cannot be reached, serve retries for acquireTimeout; a
// request that was forwarded to this server is tried once. If it returns an error,
// nothing was sent to the client.
func (g *games) serve(w http.ResponseWriter, r *http.Request, name string, create bool, local func(*openGame)) error {
	end := time.Now().Add(acquireTimeout)
	ctx, cancel := context.WithDeadline(r.Context(), end)
	defer cancel()
	var last error
	for {
		o, release, err := g.Acquire(ctx, name, create)
		if err == nil {
			if err = o.count.Confirm(ctx); err == nil {
				defer release()
				local(o)
				return nil
			}
			release()
		}
		owner := new(store.Elsewhere)
		elsewhere := errors.As(err, &owner)
		switch {
		case forwarding.IsForwarded(r) && (elsewhere || errors.Is(err, store.ErrNoOwner) || errors.Is(err, lobby.ErrClosed)):
			forwarding.Refuse(w, notOwner)
			return nil
		case elsewhere:
			// A Python client waits 5 s for the answer to a handshake.
			if err = g.forwarder.Forward(w, r, owner, time.Until(end)+500*time.Millisecond); err == nil {
				return nil
			}
			if s, ok := g.store.(store.Refuser); ok && errors.Is(err, forwarding.ErrRefused) {
				s.Refused(owner)
			}
		case last != nil && ctx.Err() != nil:
			return last
		}
		if !isTemporary(err) || r.ContentLength != 0 { // a body can be read only once
			return err
		}
		last = err
		select {
		case <-time.After(serveRetry):
		case <-ctx.Done():
			return err
		}
	}
}

// isTemporary reports whether the request may succeed once another server has become
// the owner of the game.
func isTemporary(err error) bool {
	for _, e := range []error{store.ErrNoOwner, forwarding.ErrUnreachable, forwarding.ErrNotOwner, forwarding.ErrNoAnswer} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// acquire is Acquire with a timeout of acquireTimeout.
func (g *games) acquire(ctx context.Context, name string, create bool) (*openGame, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	return g.Acquire(ctx, name, create)
}

// refusalOf returns the answer to clients and readers of a game that cannot be opened.
// It omits details of the error that are only for the log.
func refusalOf(name string, err error) (status int, message string) {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return http.StatusNotFound, fmt.Sprintf("there is no game %s; its first client makes it", name)
	case errors.Is(err, errNotAllowed):
		return http.StatusForbidden, fmt.Sprintf("there is no game %s, and clients may not make it", name)
	case errors.Is(err, store.ErrTooMany):
		return http.StatusServiceUnavailable, store.ErrTooMany.Error()
	case errors.Is(err, lobby.ErrFull):
		return http.StatusServiceUnavailable, lobby.ErrFull.Error()
	case errors.Is(err, lobby.ErrClosed):
		return http.StatusServiceUnavailable, lobby.ErrClosed.Error()
	case errors.Is(err, store.ErrNoOwner):
		return http.StatusServiceUnavailable, "the server that owns the game is not known at the moment; the log of this server says why"
	case errors.Is(err, forwarding.ErrIncomplete):
		return http.StatusBadRequest, err.Error()
	case errors.Is(err, forwarding.ErrBad):
		return http.StatusBadGateway, err.Error()
	case isTemporary(err), errors.Is(err, forwarding.ErrTooMany):
		return http.StatusServiceUnavailable, err.Error()
	case errors.As(err, new(*store.Elsewhere)):
		return http.StatusServiceUnavailable, "another server owns the game now; connect again"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, fmt.Sprintf("the game %s is not open yet; try again", name)
	}
	return http.StatusServiceUnavailable, fmt.Sprintf("the game %s cannot be opened; the server's log says why", name)
}

// handler passes the events of sessions to the rooms of their games.
type handler struct {
	games  *games
	shares *shares
}

// gameSession is a session in a game. It is the room.Session of the room.
type gameSession struct {
	*socketio.Session
	game    *openGame
	release func()
	owed    *owed
}

// owed is what a session has reserved for the acks that it waits for. The room's lock
// guards it.
type owed struct {
	bytes int
	over  bool // too much was asked for
}

const (
	// ackBytes is the memory of an ack that waits, with its id.
	ackBytes = 192
	// freeAcks is how many of them need no reservation: they count as a part of the game.
	freeAcks = 64
)

// Owe reserves memory for that many acks. It ends a session for which there is none.
func (s gameSession) Owe(acks int) {
	bytes := max(0, acks-freeAcks) * ackBytes
	switch {
	case bytes == s.owed.bytes || s.owed.over && bytes > s.owed.bytes:
	case s.Reserve(bytes-s.owed.bytes) == nil:
		s.owed.bytes = bytes
	default:
		s.owed.over = true
		s.Close()
	}
}

// Refuse refuses the session, which ends it without a call of Disconnect.
func (s gameSession) Refuse(message string) {
	s.Session.Refuse(message)
	s.release()
}

func (h handler) Connect(s *socketio.Session) {
	releaseShare, ok := h.shares.acquire(s.Addr, s.Group())
	if !ok {
		h.games.metrics.LimitReached(metrics.LimitGamesPerAddress)
		s.Refuse(fmt.Sprintf("there are clients in too many games from %s: the limit is %d", s.Addr, h.shares.most))
		return
	}
	game, releaseGame, err := h.games.acquire(context.Background(), s.Group(), true)
	if err != nil {
		releaseShare()
		_, message := refusalOf(s.Group(), err)
		s.Refuse(message)
		return
	}
	inGame := gameSession{s, game, func() { releaseGame(); releaseShare() }, new(owed)}
	s.Value = inGame
	game.room.Connect(s.ID, s.Addr, inGame)
}

func (h handler) Heartbeat(s *socketio.Session) { s.Value.(gameSession).game.room.Heartbeat(s.ID) }

func (h handler) Disconnect(s *socketio.Session) {
	inGame := s.Value.(gameSession)
	inGame.game.room.Disconnect(s.ID)
	inGame.release()
}

func (h handler) Event(s *socketio.Session, name string, args socketio.Args, ack string) {
	if name != protocol.NumberEvent {
		gameLogger(h.games.log, s.Group()).Debug(fmt.Sprintf("unknown event %.80q", name), "session", s.ID, "address", s.Addr)
		return
	}
	s.Value.(gameSession).game.room.Number(s.ID, args.JSON, args.Binary, ack)
}
