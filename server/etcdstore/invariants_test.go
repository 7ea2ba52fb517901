package etcdstore

import (
	"errors"
	"strings"
	"time"

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

// found notes what a server that opened a game has found.
func (s *simulation) found(srv *server, game string, err error) {
	h, e := s.games[game], new(store.Elsewhere)
	switch {
	case errors.As(err, &e):
		h.owners[srv] = e.Secret
		if owner := s.servers[e.Secret]; owner.name == srv.name && owner.id < srv.id {
			s.violation("%v takes %v for the owner of %q, in whose place it was started", srv, owner, game)
		}
	case err == nil:
		h.owners[srv] = srv.String()
	}
}

// knownAt reports whether a server has found the game where it is now.
func (h *history) knownAt(srv *server) bool {
	o := h.by[h.reported]
	return srv != nil && o != nil && !o.ended && !o.server.isDead() && h.owners[srv] == o.server.String()
}

// checkWrites looks at what a request has changed in the register.
func (s *simulation) checkWrites(p *parcel) {
	writes := s.register.since(s.writes)
	for _, w := range writes {
		if game, ok := strings.CutPrefix(w.key, "games/"); ok {
			s.checkWrite(p, game, w)
		} else {
			s.gone[w.key] = time.Now()
		}
	}
	s.writes += len(writes)
}

// checkWrite makes sure that a change of a game is one of four: its owner counts, a
// server becomes the owner with the next epoch, or the owner gives the game up, or
// deletes it because nothing was counted.
func (s *simulation) checkWrite(p *parcel, game string, w write) {
	h, srv := s.games[game], p.from
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
		s.checkTakeover(p, game, before)
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

// checkTakeover makes sure that a server that becomes the owner may do so: nobody was,
// or it was itself, or the former one had an earlier incarnation of its name, or had no
// replica key or refused connections when the server looked.
func (s *simulation) checkTakeover(p *parcel, game string, before gameValue) {
	const looked = 2 * time.Second // at most, before it sent the request
	me, key := p.from.owner(), "replicas/"+before.Owner
	since := p.sent.Add(-looked)
	switch {
	case before.Owner == "" || before.Owner == me:
	case s.startedBefore(before.Owner, p.from):
	case !s.register.has(key) || s.gone[key].After(since):
	case s.refused[p.from.String()+" "+before.Owner].After(since.Add(-leaseTime)):
	default:
		s.violation("%v, which is %s, has taken %q from %s, which runs", p.from, me, game, before.Owner)
	}
}

// startedBefore reports whether an owner is a server with the same name that was
// started before.
func (s *simulation) startedBefore(owner string, srv *server) bool {
	for _, other := range s.servers {
		if other.owner() == owner {
			return other.name == srv.name && other.id < srv.id
		}
	}
	return false
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
