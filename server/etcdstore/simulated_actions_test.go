package etcdstore

import (
	"context"
	"fmt"
	"slices"
	"testing/synctest"
	"time"

	"counting/server/store"
)

// start starts a server in a slot: under the name of the one before, as a pod of a
// StatefulSet, or a new one, as a pod of a Deployment.
func (s *simulation) start(i int) {
	s.started++
	ctx, cancel := context.WithCancel(context.Background())
	srv := &server{network: s.network, id: s.started, slot: i, name: fmt.Sprintf("s%d", i), cancel: cancel, parked: make(map[*parcel]bool)}
	if s.chance(0.3) {
		srv.name += fmt.Sprintf("-%d", s.started)
	}
	s.slots[i], s.servers[srv.String()] = srv, srv
	s.log("%v starts", srv)
	name := srv.name
	go func() {
		st, err := newStore(ctx, srv, Options{Name: name, Addr: name + ":1", Secret: srv.String(), MaxGames: 20})
		switch {
		case err == nil && srv.isDead():
			st.Close(ctx)
		case err == nil:
			s.finish(srv, "started", func() { srv.store = st })
		default:
			s.finish(srv, "does not start: "+err.Error(), func() { s.slots[srv.slot] = nil })
		}
	}()
	synctest.Wait()
}

// kill ends a server that gives nothing up. Its commits that are under way may be
// carried out still.
func (s *simulation) kill(i int) {
	srv := s.slots[i]
	s.log("%v is killed", srv)
	s.slots[i] = nil
	s.network.kill(srv)
	srv.cancel()
	if srv.store != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		go srv.store.Close(ctx)
	}
	synctest.Wait()
}

// stop stops a server as SIGTERM does. It closes one game after the other: which of
// them goes first must not depend on goroutines.
func (s *simulation) stop(srv *server) {
	s.log("%v stops", srv)
	srv.stopping = true
	open := slices.Clone(srv.openings)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		for _, o := range open {
			o.Close(ctx)
		}
		srv.store.Close(ctx)
		s.finish(srv, "stopped", func() { s.slots[srv.slot] = nil; s.network.kill(srv) })
	}()
	synctest.Wait()
}

// open has somebody come for a game at a server.
func (s *simulation) open(srv *server, game string) {
	create := s.chance(0.8)
	s.log("%v opens %q", srv, game)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), purpose{}, "open "+game), 4*time.Second)
		defer cancel()
		count, err := srv.store.Open(ctx, game, create)
		s.finish(srv, fmt.Sprintf("opened %q: %v", game, err), func() {
			s.found(srv, game, err)
			if err == nil {
				s.opened(&opening{Count: count.(*Count), server: srv, reported: count.Opened().Last})
			}
		})
	}()
	synctest.Wait()
}

// opened runs a count.
func (s *simulation) opened(o *opening) {
	o.server.openings = append(o.server.openings, o)
	s.checkOpened(o)
	go func() {
		err := o.Run(store.Callbacks{
			OnCommit: func(upTo int64, _ time.Duration) {
				s.park(context.Background(), &parcel{from: o.server, what: fmt.Sprintf("report %q %d", o.game, upTo),
					arrive: func() { s.checkReport(o, upTo) }})
			},
			OnHealth: func(err error) {
				s.park(context.Background(), &parcel{from: o.server, what: fmt.Sprintf("state %q %v", o.game, err)})
			},
		})
		s.finish(o.server, fmt.Sprintf("ended %q: %v", o.game, err), func() {
			o.ended = true
			o.server.openings = slices.DeleteFunc(o.server.openings, func(other *opening) bool { return other == o })
		})
	}()
}

// confirm has somebody ask a server for a game that it has opened.
func (s *simulation) confirm(o *opening) {
	if o.asking {
		return
	}
	o.asking = true
	before := s.games[o.game].reported
	s.log("%v is asked for %q", o.server, o.game)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), purpose{}, "confirm "+o.game), 4*time.Second)
		defer cancel()
		err := o.Confirm(ctx)
		s.finish(o.server, fmt.Sprintf("confirmed %q: %v", o.game, err), func() {
			o.asking = false
			if err == nil && o.reported < before {
				s.violation("%v shows %d of %q, and when it was asked %d was reported as written", o.server, o.reported, o.game, before)
			}
		})
	}()
}
