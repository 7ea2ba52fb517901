package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"counting/server/live"
	"counting/server/numbersfile"
	"counting/server/protocol"
	"counting/server/store/storetest"

	"github.com/gorilla/websocket"
)

// inGame returns the server as clients with that query see it.
func (s *testServer) inGame(query string) *testServer {
	of := *s
	of.query = query
	return &of
}

// lines returns the lines of a game's file, nil if there is none.
func (s *testServer) lines(t *testing.T, game string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.data, "games", game, "numbers.txt"))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// files returns the paths of all files and directories in the data directory.
func (s *testServer) files(t *testing.T) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(s.data, func(path string, _ os.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestGamesAreKeptApart(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	games := []string{"", "game=blue", "token=x&game=red-2"}
	type pair struct{ a, b *peer }
	var pairs []pair
	for _, query := range games {
		a, b := joinTwo(t, s.inGame(query)) // two seats in each
		pairs = append(pairs, pair{a, b})
	}
	for i, p := range pairs {
		for n := 1; n <= 2*(i+1); n += 2 {
			p.a.send(number(fmt.Sprint(n), "client1", n))
			p.a.expect(fmt.Sprintf("43%d[]", n))
			p.b.send(number(fmt.Sprint(n), "client2", n+1))
			p.b.expect(fmt.Sprintf("43%d[]", n))
		}
	}
	pairs[1].a.conn.Close()
	pairs[1].b.expect(stopped)
	waitFor(t, "one game to be interrupted", func() bool { return s.metric(t, `counting_games{state="interrupted"} 1`) })
	join(t, s.inGame("game=%62lue"), `42["client_assigned",{"client_id":"client1","last_number":5}`, started, joined)
	if got := s.numbers(t); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("the default game has %q", got)
	}
	if got := s.lines(t, "blue"); !slices.Equal(got, []string{"one", "two", "three", "four"}) {
		t.Errorf("blue has %q", got)
	}
	if got := s.lines(t, "red-2"); len(got) != 6 {
		t.Errorf("red-2 has %q", got)
	}
	waitFor(t, "the metrics", func() bool {
		return s.metric(t, `counting_games{state="open"} 3`) && s.metric(t, `counting_games{state="counting"} 3`) &&
			s.metric(t, "counting_seats_taken 6") && s.metric(t, "counting_last_number 12") && s.metric(t, "counting_goal 6000")
	})
	if !strings.Contains(s.log.String(), "\nblue: Client client1 connected and assigned.\n") {
		t.Errorf("the log does not name the game:\n%s", s.log)
	}
}

// hostileQueries name games with invalid names.
func hostileQueries() []string {
	queries := []string{"game", "game=", "game=&game=a", "game=a&game=a", "game=a&x=1&game=b", "game=a&%67ame=b", "game=%", "game=%zz", "game=a%", "game=a;b=c", "game=a%00", "game=%0a", "game=a%0A", "g%61me=A"}
	for _, name := range storetest.HostileNames {
		if len(name) < 5000 { // the header is bounded
			queries = append(queries, "game="+url.QueryEscape(name))
		}
	}
	return queries
}

// FuzzGameOf checks that a query is refused, or names a game with a valid name, or names
// none. Where url.ParseQuery finds the parameter, it finds the same value.
func FuzzGameOf(f *testing.F) {
	for _, query := range append(hostileQueries(), "", "game=blue", "EIO=4&game=b%6cue&transport=polling", "a=game=b", "GAME=x", "game%00=x") {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		name, err := gameOf(query)
		if err == nil && name != "" && protocol.CheckGame(name) != nil {
			t.Fatalf("%q names %q", query, name)
		}
		parsed, _ := url.ParseQuery(query)
		switch named := parsed["game"]; {
		case err == nil && name != "" && !slices.Equal(named, []string{name}):
			t.Errorf("%q names %q, and url.ParseQuery says %q", query, name, named)
		case err == nil && name == "" && len(named) > 0:
			t.Errorf("%q names no game, and url.ParseQuery says %q", query, named)
		}
	})
}

// A query with an invalid name is refused with a readable message over either transport,
// and creates nothing.
func TestHostileNamesAreRefused(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for _, name := range []string{numbersfile.OwnerName, live.HistoryName} { // written in the background
		waitFor(t, "the file "+name, func() bool {
			_, err := os.Stat(filepath.Join(s.data, name))
			return err == nil
		})
	}
	before := s.files(t)
	for _, query := range hostileQueries() {
		status, text, header := request(t, "GET", s.url+"/socket.io/?EIO=4&transport=polling&"+query, nil)
		var message string
		if status != http.StatusBadRequest || header.Get("Content-Type") != "text/plain" || json.Unmarshal([]byte(text), &message) != nil || !strings.Contains(message, "game") {
			t.Errorf("%.80q is answered %d %q", query, status, text)
		}
		_, response, err := websocket.DefaultDialer.Dial(s.inGame(query).wsURL(), nil)
		if err == nil || response == nil || response.StatusCode != http.StatusBadRequest {
			t.Errorf("over WebSocket, %.80q: %v, %v", query, response, err)
		}
		for _, path := range []string{"/", "/events", "/state", "/numbers.txt"} {
			if status, text, _ := request(t, "GET", s.url+path+"?"+query, nil); status != http.StatusBadRequest || !strings.Contains(text, "game") {
				t.Errorf("%s?%.80q is answered %d %q", path, query, status, text)
			}
		}
	}
	if after := s.files(t); !slices.Equal(before, after) {
		t.Errorf("the files are %q", after)
	}
	for _, name := range storetest.Names {
		join(t, s.inGame("game="+name), assigned1, joined)
	}
}

// The original ignores the parameter.
func TestFaithfulModeIgnoresTheGame(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-faithful")
	join(t, s.inGame("game=blue"), assigned1, joined)
	join(t, s.inGame("game=../../x&game="), assigned2, started, joined)
	if _, err := os.Stat(filepath.Join(s.data, "games")); !os.IsNotExist(err) {
		t.Errorf("there are games: %v", err)
	}
}

// The game of a session is that of its handshake; the parameter of later requests is
// ignored.
func TestTheHandshakeChoosesTheGame(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	p := openPolling(t, s.inGame("game=blue"))
	base := strings.Replace(p.url, "game=blue", "game=red", 1)
	p.url = base
	p.post(strings.NewReader("40"))
	p.expect(assigned1, joined)
	conn, _, err := websocket.DefaultDialer.Dial(strings.Replace(strings.Replace(base, "http", "ws", 1), "transport=polling", "transport=websocket", 1)+"&game=../x", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	up := &peer{t, conn}
	up.send("2probe")
	up.expect("3probe")
	for game, want := range map[string]int{"blue": http.StatusOK, "red": http.StatusNotFound} {
		if status, _, _ := request(t, "GET", s.url+"/state?game="+game, nil); status != want {
			t.Errorf("the state of %s is answered %d, want %d", game, status, want)
		}
	}
}

// A reader does not create a game; an existing one is opened.
func TestReadingMakesNoGame(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	before := s.files(t)
	for _, path := range []string{"/", "/events", "/state", "/numbers.txt"} {
		status, text, _ := request(t, "GET", s.url+path+"?game=blue", nil)
		if status != http.StatusNotFound || !strings.Contains(text, "there is no game blue") {
			t.Errorf("%s is answered %d %q", path, status, text)
		}
	}
	if after := s.files(t); !slices.Equal(before, after) {
		t.Errorf("the files are %q", after)
	}
	dir := filepath.Join(s.data, "games", "blue")
	os.MkdirAll(dir, 0o777)
	if err := os.WriteFile(filepath.Join(dir, "numbers.txt"), []byte("one\ntwo\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/": "<!doctype html>", "/state": `"count":2,`, "/numbers.txt": "one\ntwo\n"} {
		if status, text, _ := request(t, "GET", s.url+path+"?game=blue", nil); status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s is answered %d %q", path, status, text)
		}
	}
	r, _ := http.NewRequest("GET", s.url+"/numbers.txt?game=blue", nil)
	r.Header.Set("Range", "bytes=4-")
	response, err := http.DefaultClient.Do(r)
	if err != nil || response.StatusCode != http.StatusPartialContent || response.Header.Get("ETag") == "" {
		t.Errorf("a part is answered %v, %v", response, err)
	}
	response.Body.Close()
	response, err = http.Get(s.url + "/events?after=0&once&game=blue")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	join(t, s.inGame("game=blue"), `42["client_assigned",{"client_id":"client1","last_number":3}`, joined)
}

// A file with a fault stops its game. Its clients are cut off, and can reconnect when
// the game can be opened again. Other games continue.
func TestABadFileStopsOneGame(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a, b := joinTwo(t, s.inGame("game=blue"))
	other, _ := joinTwo(t, s.inGame("game=red"))
	first, _ := joinTwo(t, s)
	path := filepath.Join(s.data, "games", "blue", "numbers.txt")
	a.send(number("1", "client1", 1))
	a.expect("431[]")
	if err := os.WriteFile(path, []byte("one\ntwo\nthree\n"), 0o666); err != nil { // under the running server
		t.Fatal(err)
	}
	b.send(number("2", "client2", 2))
	for _, p := range []*peer{a, b} {
		for err := error(nil); err == nil; {
			var packet string
			if packet, err = p.next(); strings.HasPrefix(packet, "43") {
				t.Errorf("it is acked: %q", packet)
			}
		}
	}
	join(t, s.inGame("game=blue"), `42["client_assigned",{"client_id":"client1","last_number":5}`, joined)
	for _, p := range []*peer{other, first} {
		p.send(number("1", "client1", 1))
		p.expect("431[]")
	}
	if !strings.Contains(s.log.String(), "blue: The game is closed, and opened again for the next client: "+path) {
		t.Errorf("the log does not say so:\n%s", s.log)
	}
	if status, text, _ := request(t, "GET", s.url+"/ready", nil); status != http.StatusOK {
		t.Errorf("/ready is answered %d %q", status, text)
	}
	if err := s.stop(); err != nil {
		t.Errorf("the server ends with %v", err)
	}
}

// A game that cannot be opened is refused with a readable message; the next client tries
// again.
func TestAGameThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	dir := filepath.Join(s.data, "games", "blue", "numbers.txt")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/socket.io/?EIO=4&transport=polling&game=blue", "/state?game=blue", "/?game=blue"} {
		status, text, header := request(t, "GET", s.url+path, nil)
		if status != http.StatusServiceUnavailable || !strings.Contains(text, "the game blue cannot be opened; the server's log says why") || header.Get("Retry-After") == "" {
			t.Errorf("%s is answered %d %q", path, status, text)
		}
	}
	waitFor(t, "the log", func() bool { return strings.Contains(s.log.String(), "blue: The game cannot be opened: open "+dir) })
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	joinTwo(t, s.inGame("game=blue"))
	joinTwo(t, s)
}

// A game continues from its file.
func TestTheDefaultGameIsWhereItAlwaysWas(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "numbers.txt"), []byte("one\ntwo\nthree\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	s := startServerIn(t, data)
	b := join(t, s, `42["client_assigned",{"client_id":"client1","last_number":5}`, joined)
	a := join(t, s, `42["client_assigned",{"client_id":"client2","last_number":4}`, started, joined)
	a.send(number("1", "client2", 4))
	a.expect("431[]")
	b.conn.Close()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if got := s.numbers(t); !slices.Equal(got, []string{"one", "two", "three", "four"}) {
		t.Errorf("the file has %q", got)
	}
	if _, err := os.Stat(filepath.Join(data, "games")); !os.IsNotExist(err) {
		t.Errorf("there is a directory of games: %v", err)
	}
}

// The history of a game survives that it is closed, as it survives the server.
func TestTheHistoryOfAGame(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a, _ := joinTwo(t, s.inGame("game=blue"))
	a.send(number("1", "client1", 1))
	a.expect("431[]")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = startServerIn(t, s.data)
	_, text, _ := request(t, "GET", s.url+"/state?game=blue", nil)
	var state live.State
	if err := json.Unmarshal([]byte(text), &state); err != nil {
		t.Fatal(err)
	}
	started := 0
	for _, h := range state.Activities {
		if h.Type == live.ServerStarted {
			started++
		}
	}
	if state.Lines != 1 || started != 2 || time.Since(state.Tally.Since) > time.Hour {
		t.Errorf("the state is %+v", state)
	}
}
