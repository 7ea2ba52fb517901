package main

import (
	"net/netip"
	"sync"

	"counting/server/clientaddr"
	"counting/server/store"
)

// shares bounds the number of games with clients from one address, so that one address
// cannot use all of -max-games. The default game does not count. Its methods may be
// called concurrently.
type shares struct {
	most int // 0 means no limit

	mu sync.Mutex
	of map[netip.Addr]map[string]int // clients, by address and game
}

func newShares(maxGames int) *shares {
	return &shares{most: (maxGames + 1) / 2, of: make(map[netip.Addr]map[string]int)}
}

// acquire adds a client to a game, and reports whether the limit allows that. If so,
// the caller must call release when the client has left.
func (s *shares) acquire(addr, game string) (release func(), ok bool) {
	if s.most == 0 || game == store.Default {
		return func() {}, true
	}
	key := clientaddr.Key(clientaddr.Parse(addr))
	s.mu.Lock()
	defer s.mu.Unlock()
	games := s.of[key]
	if games[game] == 0 && len(games) >= s.most {
		return nil, false
	}
	if games == nil {
		games = make(map[string]int)
		s.of[key] = games
	}
	games[game]++
	return sync.OnceFunc(func() { s.release(key, game) }), true
}

func (s *shares) release(key netip.Addr, game string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	games := s.of[key]
	if games[game]--; games[game] == 0 {
		delete(games, game)
	}
	if len(games) == 0 {
		delete(s.of, key)
	}
}
