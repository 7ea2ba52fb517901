package etcdstore

import (
	"errors"
	"strings"

	"counting/server/store"
)

// history is what has happened to a game: what the register had, and what its
// owners reported.
type history struct {
	last     gameValue               // the zero value: the game has no key
	written  map[term]map[int64]bool // the counts that an owner has written, from the one that it found
	by       map[int64]*opening      // who reported a number as written
	reported int64                   // the highest of them
	owners   map[*server]string      // who has the game, as servers have found
}

// term is an ownership.
type term struct {
	owner string
	epoch int64
}

func newHistory() *history {
	return &history{written: make(map[term]map[int64]bool), by: make(map[int64]*opening), owners: make(map[*server]string)}
}

// found notes what a server that opened the game has found.
func (h *history) found(srv *server, err error) {
	e := new(store.Elsewhere)
	switch {
	case errors.As(err, &e):
		h.owners[srv] = e.Secret
	case err == nil:
		h.owners[srv] = srv.String()
	}
}

// knownAt reports whether a server has found the game where it is now.
func (h *history) knownAt(srv *server) bool {
	o := h.by[h.reported]
	return srv != nil && o != nil && !o.ended && !o.server.isDead() && h.owners[srv] == o.server.String()
}

// checkWrites looks at what a server has changed in the register.
func (s *simulation) checkWrites(srv *server) {
	writes := s.register.since(s.writes)
	for _, w := range writes {
		if game, ok := strings.CutPrefix(w.key, "games/"); ok {
			s.checkWrite(srv, game, w)
		}
	}
	s.writes += len(writes)
}

// checkWrite makes sure that a change of a game is one of four: its owner counts, a
// server becomes the owner with the next epoch, or the owner gives the game up, or
// deletes it because nothing was counted.
func (s *simulation) checkWrite(srv *server, game string, w write) {
	h := s.games[game]
	before, me := h.last, srv.owner()
	if w.value == nil {
		if before.Count > 0 || before.Owner != me {
			s.violation("%v, which is %s, has deleted %q, which had %+v", srv, me, game, before)
		}
		h.last = gameValue{}
		return
	}
	v, err := decodeGame(entry{key: w.key, value: w.value})
	if err != nil {
		s.violation("%v: %v", srv, err)
	}
	t := term{v.Owner, v.Epoch}
	mine := before.Owner == me && v.Epoch == before.Epoch
	switch {
	case mine && v.Owner == me && v.Count > before.Count: // counts
	case v.Owner == me && v.Epoch == before.Epoch+1 && v.Count == before.Count: // becomes the owner
		h.written[t] = make(map[int64]bool)
	case mine && v.Owner == "" && v.Count == before.Count && v.Count > 0: // gives up
	default:
		s.violation("%v, which is %s, has changed %q from %+v to %+v", srv, me, game, before, v)
		return
	}
	if v.Count < h.reported {
		s.violation("%v has set %q to %d, and %d was reported as written", srv, game, v.Count, h.reported)
	}
	if v.Owner == me {
		h.written[t][v.Count] = true
	}
	h.last = v
}

// owner returns who a server is in the games' keys, or "" if it has not started.
func (s *server) owner() string {
	if s.store == nil {
		return ""
	}
	return s.store.owner
}

// checkOpened makes sure that a game that was opened was won, at that count.
func (s *simulation) checkOpened(o *opening) {
	h := s.games[o.game]
	if found := o.Opened().Last; !h.written[term{o.server.owner(), o.epoch}][found] {
		s.violation("%v has opened %q with epoch %d at %d, and did not write that; the game is at %+v", o.server, o.game, o.epoch, found, h.last)
	}
}

// checkReport makes sure that numbers that are reported as written are in the
// register, written by that owner in its epoch, and were never reported before.
func (s *simulation) checkReport(o *opening, upTo int64) {
	h := s.games[o.game]
	s.log("%v reports %d of %q as written", o.server, upTo, o.game)
	switch {
	case o.ended:
		s.violation("%v reports %d of %q as written after its end", o.server, upTo, o.game)
	case upTo <= o.reported || upTo > o.Last():
		s.violation("%v reports %d of %q as written after %d; %d is the last that was appended", o.server, upTo, o.game, o.reported, o.Last())
	case h.last.Count < upTo || !h.written[term{o.server.owner(), o.epoch}][upTo]:
		s.violation("%v reports %d of %q as written, and has not written it; the game is at %+v", o.server, upTo, o.game, h.last)
	}
	for n := o.reported + 1; n <= upTo; n++ {
		if other := h.by[n]; other != nil {
			s.violation("%v reports %d of %q as written, and %v has done so before", o.server, n, o.game, other.server)
		}
		h.by[n] = o
	}
	o.reported = upTo
	h.reported = max(h.reported, upTo)
}
