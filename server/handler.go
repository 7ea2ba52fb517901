package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"counting/server/engineio"
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

// admit finds the game of a handshake, which is opened: if that takes a while or
// is not possible, clients cope better with a handshake that waits or is refused
// than with a CONNECT.
func (g *games) admit(r *http.Request) (name string, refusal *engineio.Refusal) {
	if g.store == nil {
		return store.Default, nil // the original ignores the parameter
	}
	name, err := gameOf(r.URL.RawQuery)
	if err != nil {
		return "", &engineio.Refusal{Status: http.StatusBadRequest, Message: err.Error()}
	}
	_, leave, err := g.enter(r.Context(), name, true)
	if err != nil {
		status, message := refusalOf(name, err)
		return "", &engineio.Refusal{Status: status, Message: message, Retry: status == http.StatusServiceUnavailable}
	}
	leave()
	return name, nil
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
