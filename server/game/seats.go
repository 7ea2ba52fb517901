package game

import (
	"slices"

	"counting/server/protocol"
)

// seats holds the sessions and their seats: the state that both modes share.
type seats struct {
	joined []Session // all that get broadcasts, in order of arrival
	in     map[Session]bool
	holder protocol.BySeat[Session] // "" is nobody
	over   bool                     // start_game is no longer sent

	effects []Effect // of the current step
}

func newSeats() seats {
	return seats{in: make(map[Session]bool)}
}

// maxKept is the most effects of a step whose slice is kept for the next one.
const maxKept = 128

// begin begins a step, which overwrites the effects of the last one.
func (g *seats) begin() {
	if g.effects = g.effects[:0]; cap(g.effects) > maxKept {
		g.effects = nil
	}
}

func (g *seats) do(e Effect) { g.effects = append(g.effects, e) }

func (g *seats) broadcast(event string) {
	for _, s := range g.joined {
		g.do(Emit{s, event, nil})
	}
}

// join gives the session a seat. next is the number that its holder sends next.
func (g *seats) join(s Session, seat protocol.Seat, next protocol.Value) {
	g.addSession(s)
	g.holder[seat] = s
	g.do(Seated{s, seat})
	g.do(Emit{s, protocol.ClientAssigned, protocol.Assignment{ClientID: seat.String(), LastNumber: next}})
	if g.free() == protocol.NoSeat && !g.over {
		g.broadcast(protocol.StartGame)
	}
	g.do(Admit{s})
}

// addSession adds a session to those that get broadcasts.
func (g *seats) addSession(s Session) {
	g.joined = append(g.joined, s)
	g.in[s] = true
}

// leave removes a session that has joined, and returns the seat that it held. The
// stop_game that this causes is sent to that session, too: one that left by a
// DISCONNECT packet still gets it.
func (g *seats) leave(s Session) protocol.Seat {
	seat := g.seatOf(s)
	if seat != protocol.NoSeat {
		g.holder[seat] = ""
		g.do(Left{s, seat})
	}
	if g.free() != protocol.NoSeat {
		g.do(Alone{})
		g.broadcast(protocol.StopGame)
	}
	delete(g.in, s)
	g.joined = slices.DeleteFunc(g.joined, func(other Session) bool { return other == s })
	return seat
}

// free returns the first free seat, or NoSeat.
func (g *seats) free() protocol.Seat {
	for _, seat := range protocol.Seats {
		if g.holder[seat] == "" {
			return seat
		}
	}
	return protocol.NoSeat
}

// seatOf returns the seat that a session holds, or NoSeat.
func (g *seats) seatOf(s Session) protocol.Seat {
	for _, seat := range protocol.Seats {
		if g.holder[seat] == s {
			return seat
		}
	}
	return protocol.NoSeat
}

// Taken returns the seats that are taken.
func (g *seats) Taken() []protocol.Seat {
	var taken []protocol.Seat
	for _, seat := range protocol.Seats {
		if g.holder[seat] != "" {
			taken = append(taken, seat)
		}
	}
	return taken
}
