package chaos

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"counting/compat-tests/results"
	"counting/compat-tests/subject"
	"counting/server/numbersfile"
)

// gamesShare is which part of the kills falls to games that share a server.
const gamesShare = 4

// Several games on one server: its clients and the server are killed at random, and
// each game's file is at every moment an unbroken count of its own.
func TestGamesOnOneServerSurviveKills(t *testing.T) {
	t.Parallel()
	seed, kills := rand.Uint64(), int(fromEnvironment(t, soakVariable, shortly))/gamesShare
	seed = fromEnvironment(t, seedVariable, seed)
	t.Logf("to have this again: %s=%d", seedVariable, seed)
	table := results.New(t, "games", "games on one server", "programs killed", "lines in all", "longest until all games went on")
	for i, mix := range []struct {
		name  string
		kinds [3]subject.Kind // of the clients of each game
	}{
		{"three of Go clients", [3]subject.Kind{subject.Go, subject.Go, subject.Go}},
		{"of Go, of Python and of JavaScript clients", [3]subject.Kind{subject.Go, subject.Python, subject.JavaScript}},
	} {
		t.Run(mix.name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range mix.kinds {
				kind.Need(t)
			}
			s := newShared(t, rand.New(rand.NewPCG(seed, uint64(i))), mix.kinds)
			for s.kills < kills && !t.Failed() {
				s.round()
			}
			s.end()
			table.Row(mix.name, s.kills, s.lines(), s.longest.Round(10*time.Millisecond))
		})
	}
}

// sharedServer is a server with three games: the default one and two others.
type sharedServer struct {
	t       *testing.T
	random  *rand.Rand
	place   subject.Place
	server  *subject.Server
	clients []*gameClient
	games   []*checker
	kills   int
	longest time.Duration
}

// gameClient is a client in a game, which is started again whenever it ends.
type gameClient struct {
	*subject.Program
	kind subject.Kind
	url  string
	game *checker
	back time.Time // it is started again then, or zero
}

func newShared(t *testing.T, random *rand.Rand, kinds [3]subject.Kind) *sharedServer {
	s := &sharedServer{t: t, random: random, place: subject.NewPlace(t)}
	s.server = s.place.GoServer(t)
	for i, kind := range kinds {
		path, query := filepath.Join(s.place.Dir, numbersfile.Name), ""
		if i > 0 {
			name := fmt.Sprintf("game-%d", i)
			path, query = filepath.Join(s.place.Dir, "games", name, numbersfile.Name), "?game="+name
		}
		game := check(t, path)
		s.games = append(s.games, game)
		for range 3 { // one waits for a seat
			c := &gameClient{kind: kind, url: s.place.URL() + query, game: game}
			s.clients = append(s.clients, c)
			s.start(c)
		}
	}
	return s
}

func (s *sharedServer) start(c *gameClient) {
	c.Program, c.back = c.kind.Start(s.t, c.url, 3*interval, noLimit), time.Time{}
}

// round kills some programs, and waits for all games to go on.
func (s *sharedServer) round() {
	s.t.Helper()
	for range 3 {
		s.pass(time.Duration(s.random.IntN(1000))*time.Millisecond, nil)
		s.kills++
		if c := s.random.IntN(len(s.clients) + 3); c < len(s.clients) {
			s.clients[c].Kill()
			s.ended(s.clients[c])
			s.start(s.clients[c])
			continue
		}
		s.server.Kill()
		s.server = s.place.GoServer(s.t)
	}
	good := time.Now()
	var want []int64
	for _, g := range s.games {
		want = append(want, g.counted()+4)
	}
	if !s.pass(alive, func() bool {
		for i, g := range s.games {
			if g.counted() < want[i] {
				return false
			}
		}
		return true
	}) {
		for i, g := range s.games {
			s.t.Errorf("nothing was killed for %v, and game %d stands at %d, want %d", alive, i, g.counted(), want[i])
		}
	}
	s.longest = max(s.longest, time.Since(good))
}

// pass lets time pass until the condition comes true, if there is one, and tells
// whether it has. Clients that end are started again.
func (s *sharedServer) pass(long time.Duration, condition func() bool) bool {
	for end := time.Now().Add(long); ; time.Sleep(5 * time.Millisecond) {
		now := time.Now()
		for _, c := range s.clients {
			switch {
			case c.back.IsZero() && c.Ended():
				s.ended(c)
				c.back = now.Add(300 * time.Millisecond) // as its supervisor does
			case !c.back.IsZero() && now.After(c.back):
				s.start(c)
			}
		}
		if s.server.Ended() {
			s.t.Fatalf("the server has ended:\n%s", s.server.Output())
		}
		switch {
		case condition != nil && condition():
			return true
		case now.After(end), s.t.Failed():
			return false
		}
	}
}

// ended takes the account of a client that has ended.
func (s *sharedServer) ended(c *gameClient) {
	if c.kind == subject.Go {
		c.game.isIn(c.Acked(), c.Program)
	}
}

func (s *sharedServer) lines() (sum int64) {
	for _, g := range s.games {
		sum += g.counted()
	}
	return sum
}

// end stops all, the server by a last kill, and reads all files again.
func (s *sharedServer) end() {
	s.server.Kill()
	for _, c := range s.clients {
		c.Kill()
		s.ended(c)
	}
	for _, g := range s.games {
		g.end()
		lines, bad, err := numbersfile.Verify(g.path)
		if bad != nil || err != nil || lines != g.lines || lines == 0 {
			s.t.Errorf("%s has %d lines in the end, and the checker saw %d: %v, %v", g.path, lines, g.lines, bad, err)
		}
	}
}
