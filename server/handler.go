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

// gameOf returns the game that a query names, or store.Default if it names none.
// The error is for whoever sent the query. It reads the query itself, as
// url.ParseQuery leaves out what it cannot decode.
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

// admit finds the game of a handshake, which is opened: if that takes a while or
// is not possible, clients cope better with a handshake that waits or is refused
// than with a CONNECT.
func (g *games) admit(w http.ResponseWriter, r *http.Request, open func(group string)) {
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

// answerUnknown answers a request of a session that is not here, but may be at the
// owner of its game.
func (g *games) answerUnknown(w http.ResponseWriter, r *http.Request) {
	name, err := g.gameOf(r)
	if err != nil || g.ownsAll() {
		engineio.RefuseSession(w)
		return
	}
	_, leave, err := g.enter(r.Context(), name, false)
	owner := new(store.Elsewhere)
	switch {
	case err == nil:
		leave()
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

// notOwner is answered to another server that takes this one for the owner.
const notOwner = "this server does not own the game"

// serveRetry is the time from one attempt of serve to the next.
const serveRetry = 25 * time.Millisecond

// serve enters a game and calls here, or has the owner of the game serve the
// request. Before that it makes sure that this server still is the owner: whoever is
// shown a count is never shown a lower one afterwards, whichever server is asked.
// While there is no owner, or it cannot be reached, it tries again until
// enterTime has passed; a request that was forwarded to this server is tried once.
// An error says that nothing was answered.
func (g *games) serve(w http.ResponseWriter, r *http.Request, name string, create bool, here func(*openGame)) error {
	end := time.Now().Add(enterTime)
	ctx, cancel := context.WithDeadline(r.Context(), end)
	defer cancel()
	var last error
	for {
		o, leave, err := g.Enter(ctx, name, create)
		if err == nil {
			if err = o.count.Confirm(ctx); err == nil {
				defer leave()
				here(o)
				return nil
			}
			leave()
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
		if !passes(err) || r.ContentLength != 0 { // a body can be read only once
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

// passes reports whether an error may be over when another server has become the
// owner of the game.
func passes(err error) bool {
	for _, e := range []error{store.ErrNoOwner, forwarding.ErrUnreachable, forwarding.ErrNotOwner, forwarding.ErrNoAnswer} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// enter enters a game, or gives up after a while.
func (g *games) enter(ctx context.Context, name string, create bool) (*openGame, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, enterTime)
	defer cancel()
	return g.Enter(ctx, name, create)
}

// refusalOf returns what clients and readers are answered when a game cannot be
// entered. What else the error says is for the log.
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
	case passes(err), errors.Is(err, forwarding.ErrTooMany):
		return http.StatusServiceUnavailable, err.Error()
	case errors.As(err, new(*store.Elsewhere)):
		return http.StatusServiceUnavailable, "another server owns the game now; connect again"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, fmt.Sprintf("the game %s is not open yet; try again", name)
	}
	return http.StatusServiceUnavailable, fmt.Sprintf("the game %s cannot be opened; the server's log says why", name)
}

// handler hands what sessions do to the rooms of their games.
type handler struct {
	games  *games
	shares *shares
}

// player is a session in a game. It is what the room knows of the session.
type player struct {
	*socketio.Session
	game  *openGame
	leave func()
}

// Refuse turns the session away, which ends it without a Disconnect.
func (p player) Refuse(message string) {
	p.Session.Refuse(message)
	p.leave()
}

func (h handler) Connect(s *socketio.Session) {
	release, ok := h.shares.acquire(s.Addr, s.Group())
	if !ok {
		h.games.metrics.LimitReached(metrics.LimitGamesPerAddress)
		s.Refuse(fmt.Sprintf("there are clients in too many games from %s: the limit is %d", s.Addr, h.shares.most))
		return
	}
	game, leave, err := h.games.enter(context.Background(), s.Group(), true)
	if err != nil {
		release()
		_, message := refusalOf(s.Group(), err)
		s.Refuse(message)
		return
	}
	p := player{s, game, func() { leave(); release() }}
	s.Value = p
	game.room.Connect(s.ID, s.Addr, p)
}

func (h handler) Heartbeat(s *socketio.Session) { s.Value.(player).game.room.Heartbeat(s.ID) }

func (h handler) Disconnect(s *socketio.Session) {
	p := s.Value.(player)
	p.game.room.Disconnect(s.ID)
	p.leave()
}

func (h handler) Event(s *socketio.Session, name string, args socketio.Args, ack string) {
	if name != protocol.NumberEvent {
		h.games.log.Debug("unknown event", "event", fmt.Sprintf("%.80q", name), "session", s.ID)
		return
	}
	s.Value.(player).game.room.Number(s.ID, args.JSON, args.Binary, ack)
}
