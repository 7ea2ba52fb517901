package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"counting/server/room"

	"github.com/gorilla/websocket"
)

// joinsFrom dials and connects from an address, to a server that trusts this one.
func (s *testServer) joinsFrom(t *testing.T, address, game string) *peer {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial(s.inGame("game="+game).wsURL(), http.Header{"X-Forwarded-For": {address}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := &peer{t, conn}
	p.expect(`0{"`)
	p.send("40")
	return p
}

// -games lists the games that clients may create.
func TestOnlyNamedGamesAreMade(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	os.MkdirAll(filepath.Join(data, "games", "kept"), 0o777)
	os.WriteFile(filepath.Join(data, "games", "kept", "numbers.txt"), []byte("one\n"), 0o666)
	s := startServerIn(t, data, "-games", "blue, red")
	for _, game := range []string{"blue", "red", "kept"} {
		join(t, s.inGame("game="+game), assigned1, joined)
	}
	status, text, _ := request(t, "GET", s.url+"/socket.io/?EIO=4&transport=polling&game=green", nil)
	if status != http.StatusForbidden || text != `"there is no game green, and clients may not make it"` {
		t.Errorf("another one is answered %d %q", status, text)
	}
	if s.lines(t, "green") != nil {
		t.Error("it is created")
	}
}

// When -max-games games are open, an idle one is closed for a new one.
func TestOpenGamesAreBounded(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-max-games", "2", "-trusted-proxies", "127.0.0.1")
	a := s.joinsFrom(t, "10.0.0.1", "a")
	a.expect(assigned1, joined)
	s.joinsFrom(t, "10.0.0.2", "b").expect(assigned1, joined)
	status, text, header := request(t, "GET", s.url+"/socket.io/?EIO=4&transport=polling&game=c", nil)
	if status != http.StatusServiceUnavailable || !strings.Contains(text, "too many games are open") || header.Get("Retry-After") == "" {
		t.Errorf("one too many is answered %d %q", status, text)
	}
	join(t, s, assigned1, joined) // the default game is always open
	a.conn.Close()
	waitFor(t, "another to have its place", func() bool {
		status, _, _ := request(t, "GET", s.url+"/socket.io/?EIO=4&transport=polling&game=c", nil)
		return status == http.StatusOK
	})
	if s.lines(t, "a") != nil {
		t.Error("a game in which nothing was counted is kept")
	}
}

// The clients of one address cannot use all of -max-games.
func TestGamesAreFairBetweenAddresses(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-max-games", "4", "-trusted-proxies", "127.0.0.1")
	from := func(address, game string) *peer { return s.joinsFrom(t, address, game) }
	from("10.0.0.1", "a").expect(assigned1, joined)
	b := from("10.0.0.1", "b")
	b.expect(assigned1, joined)
	from("10.0.0.1", "a").expect(assigned2, started, joined) // it is in that game already
	third := from("10.0.0.1", "c")
	third.expect(`44{"message":"there are clients in too many games from 10.0.0.1: the limit is 2"}`)
	from("10.0.0.2", "c").expect(assigned1, joined)
	if !s.metric(t, `counting_limits_reached_total{limit="games_per_address"} 1`) {
		t.Error("the metrics do not show it")
	}
	b.send("41")
	b.expect(stopped)
	waitFor(t, "it to be counted out", func() bool {
		third.send("40")
		packet, err := third.next()
		if err != nil {
			t.Fatal(err)
		}
		return strings.HasPrefix(packet, assigned2)
	})
}

// The clients of one game cannot use all of -max-sessions, nor those of one address.
func TestSessionsAreFairBetweenGames(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-max-sessions", "12", "-max-sessions-per-address", "12", "-max-sessions-per-game", "4")
	attempt := 0
	waitFor(t, "a game to have all the sessions that it may", func() bool {
		// Two have seats, two are held back for some seconds. On a busy machine that time
		// may be over too soon; then another game is tried.
		attempt++
		game := fmt.Sprintf("game=flood-%d", attempt)
		flood := s.inGame(game)
		var peers []*peer
		for i := range 4 {
			p := dial(t, flood)
			peers = append(peers, p)
			p.expect(`0{"`)
			p.send("40")
			if i < 2 {
				p.expect(`42["client_assigned"`)
			}
		}
		held := func() bool { return s.metric(t, "counting_waiting_clients 2") }
		for deadline := time.Now().Add(room.HoldTime); !held() && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		}
		if held() {
			status, text, _ := request(t, "GET", s.url+"/socket.io/?EIO=4&transport=polling&"+game, nil)
			if status == http.StatusServiceUnavailable && text == fmt.Sprintf(`"too many sessions in \"flood-%d\": the limit is 4"`, attempt) {
				return true
			}
		}
		for _, p := range peers {
			p.conn.Close()
		}
		return false
	})
	for _, query := range []string{"", "game=blue", "game=red"} {
		joinTwo(t, s.inGame(query))
	}
}
