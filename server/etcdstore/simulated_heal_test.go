package etcdstore

import (
	"fmt"
	"time"
)

// heal has all servers run without faults, and makes sure that all games go on.
func (s *simulation) heal() {
	clear(s.cut[:])
	goals := make(map[string]int64)
	for _, game := range s.names {
		goals[game] = s.games[game].last.Count + 1
	}
	deadline := time.Now().Add(healTime)
	for s.err == nil {
		left := ""
		for _, game := range s.names {
			h := s.games[game]
			if h.reported < goals[game] {
				left += fmt.Sprintf(" %q at %+v", game, h.last)
			}
			for i, srv := range s.slots {
				switch {
				case i == twin || i == s.lost:
					continue
				case srv == nil:
					s.start(i)
				case srv.store == nil || srv.stopping:
				default:
					s.come(srv, game, goals[game])
				}
				if srv := s.slots[i]; h.reported >= goals[game] && !h.knownAt(srv) {
					left += fmt.Sprintf(" %q is not known at %v", game, srv)
				}
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			s.violation("%v after the end of the faults, these games do not go on:%s", healTime, left)
		}
		s.step()
	}
}

// come has somebody come for a game that should get that far. A server that has
// opened it, and has lost it since, notices that without a request.
func (s *simulation) come(srv *server, game string, goal int64) {
	h := s.games[game]
	for _, o := range srv.openings {
		if o.game == game {
			owns := h.last.Owner == srv.owner() && h.last.Epoch == o.epoch
			if owns && (o.Last() < goal || h.by[h.reported] != o && s.chance(0.1)) {
				s.append(o)
			}
			return
		}
	}
	if !h.knownAt(srv) && s.chance(0.2) {
		s.open(srv, game)
	}
}

// stopAll stops all servers, which must give up all games. Some are still opening games,
// which other servers may just have given up.
func (s *simulation) stopAll() {
	for _, srv := range s.slots {
		if s.err != nil || srv == nil || srv.stopping {
			continue
		}
		for range s.rng.IntN(4) {
			s.open(srv, s.names[s.rng.IntN(len(s.names))])
			s.step()
		}
		s.stop(srv)
	}
	for deadline := time.Now().Add(healTime); s.err == nil && s.slots != [allSlots]*server{}; s.step() {
		if time.Now().After(deadline) {
			s.violation("servers do not stop")
		}
	}
	for _, game := range s.names {
		if owner := s.games[game].last.Owner; s.err == nil && owner != "" {
			s.violation("all servers have stopped, and %q is owned by %s", game, owner)
		}
	}
}
