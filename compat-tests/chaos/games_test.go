package chaos

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/compat-tests/results"
)

// gamesShare is the divisor of the kills for games that share a server.
const gamesShare = 4

// The server of several games and its clients are killed at random: the file of each
// game is always an unbroken count.
func TestGamesOnOneServerSurviveKills(t *testing.T) {
	t.Parallel()
	seed, kills := rand.Uint64(), int(fromEnvironment(t, soakVariable, shortKills))/gamesShare
	seed = fromEnvironment(t, seedVariable, seed)
	t.Logf("to repeat this run: %s=%d", seedVariable, seed)
	table := results.New(t, "games", "games on one server", "programs killed", "lines in total", "longest time until all games continued")
	for i, mix := range []struct {
		name  string
		kinds [3]harness.Kind // of the clients of each game
	}{
		{"three games of Go clients", [3]harness.Kind{harness.Go, harness.Go, harness.Go}},
		{"one game each of Go, Python and JavaScript clients", [3]harness.Kind{harness.Go, harness.Python, harness.JavaScript}},
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

// A sharedServer is a server with three games: the default one and two others.
type sharedServer struct {
	*run
	games []*checker
}

func newShared(t *testing.T, random *rand.Rand, kinds [3]harness.Kind) *sharedServer {
	s := &sharedServer{run: newRun(t, random)}
	for i, kind := range kinds {
		name, query := "", ""
		if i > 0 {
			name = fmt.Sprintf("game-%d", i)
			query = "?game=" + name
		}
		game := check(t, s.file(name))
		s.games = append(s.games, game)
		for range 3 { // one waits for a seat
			s.add(&client{kind: kind, url: s.deployment.URL() + query, pace: 3 * interval, checker: game})
		}
	}
	return s
}

// round kills some programs, and waits until all games continue.
func (s *sharedServer) round() {
	s.t.Helper()
	for range 3 {
		s.pass(time.Duration(s.random.IntN(1000))*time.Millisecond, nil)
		if c := s.random.IntN(len(s.clients) + 3); c < len(s.clients) {
			s.killClient(s.clients[c])
		} else {
			s.killServer()
		}
	}
	s.awaitCount(s.games...)
}

func (s *sharedServer) lines() (sum int64) {
	for _, g := range s.games {
		sum += g.counted()
	}
	return sum
}

// end kills all programs and reads all files again.
func (s *sharedServer) end() {
	s.server.Kill()
	s.killClients()
	for _, g := range s.games {
		g.end()
	}
}
