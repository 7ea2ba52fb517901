package main

import (
	"net/netip"
	"sync"

	"counting/server/clientaddr"
	"counting/server/store"
)

// shares bounds in how many games the clients of one address are, so that none can
// have all the games open that may be. The default game does not count. It may be
// used by any number of goroutines.
type shares struct {
	most int // 0 is any number

	mu sync.Mutex
	of map[netip.Addr]map[string]int // clients, by address and game
}

func newShares(maxGames int) *shares {
	return &shares{most: (maxGames + 1) / 2, of: make(map[netip.Addr]map[string]int)}
}

// acquire counts a client in, and reports whether it may be in that game. If so,
// release must be called when it has left.
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
