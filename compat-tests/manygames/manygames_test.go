package manygames

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/subject"
	"counting/server/numbersfile"
)

func TestMain(m *testing.M) { subject.Main(m) }

// Fifty games at the same time, and the server is killed: each file is an unbroken
// count with everything acked in it, and each game goes on from there.
func TestManyGamesSurviveAKill(t *testing.T) {
	t.Parallel()
	const (
		games    = 50
		interval = 100 * time.Millisecond
		acks     = 3 // that each client has had before the kill
	)
	place := subject.NewPlace(t)
	var before int64
	for round := range 2 {
		server := place.GoServer(t)
		load, err := Join("127.0.0.1:"+place.Port, games, interval)
		if err != nil {
			t.Fatal(err)
		}
		result, err := load.Count(t.Context(), interval, time.Second)
		if err == nil {
			err = load.Await(t.Context(), acks)
		}
		if err != nil {
			t.Error(err)
		}
		load.Expect()
		server.Kill()
		if err := load.Close(); err != nil {
			t.Error(err)
		}
		numbers, err := load.Verify(place.Dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("round %d: %+v, %d numbers", round+1, result, numbers)
		if numbers < before+2*games*acks {
			t.Errorf("there were %d numbers before and are %d now", before, numbers)
		}
		before = numbers
	}
}

// One pair of clients in one game, so that the load itself is known to check what
// it says.
func TestTheLoadSeesALoss(t *testing.T) {
	t.Parallel()
	place := subject.NewPlace(t)
	server := place.GoServer(t)
	load, err := Join("127.0.0.1:"+place.Port, 2, 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := load.Count(t.Context(), 0, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := load.Await(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(server.URL + "/games?open")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("/games answers %v, %v", response, err)
	}
	response.Body.Close()
	load.Expect()
	server.Kill()
	if err := load.Close(); err != nil {
		t.Error(err)
	}
	path := filepath.Join(place.Dir, "games", Name(1), numbersfile.Name)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		string(whole):       "<nil>",
		string(whole) + "x": "not an unbroken count",
		strings.Replace(string(whole), "two\n", "", 1): "not an unbroken count",
		"one\n": "was acked, and the file ends with 1",
	} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := load.Verify(place.Dir); !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("of %d bytes it says %v, want %s", len(text), err, want)
		}
	}
}
