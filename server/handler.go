package main

import (
	"fmt"
	"log/slog"

	"counting/server/protocol"
	"counting/server/room"
	"counting/server/socketio"
)

// handler hands what sessions do to the room.
type handler struct {
	room *room.Room
	log  *slog.Logger
}

func (h handler) Connect(s *socketio.Session)    { h.room.Connect(s.ID, s.Addr, s) }
func (h handler) Heartbeat(s *socketio.Session)  { h.room.Heartbeat(s.ID) }
func (h handler) Disconnect(s *socketio.Session) { h.room.Disconnect(s.ID) }

func (h handler) Event(s *socketio.Session, name string, args socketio.Args, ack string) {
	if name != protocol.NumberEvent {
		h.log.Debug("unknown event", "event", fmt.Sprintf("%.80q", name), "session", s.ID)
		return
	}
	h.room.Number(s.ID, args.JSON, args.Binary, ack)
}
