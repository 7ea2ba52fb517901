package manygames

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/server/numbersfile"
)

func TestMain(m *testing.M) { harness.Main(m) }

// The server of fifty games is killed: each file is an unbroken count with everything
// that was acked, and each game continues from it.
func TestManyGamesSurviveAKill(t *testing.T) {
	t.Parallel()
	const (
		games    = 50
		interval = 100 * time.Millisecond
		acks     = 3 // that each client has received before the kill
	)
	deployment := harness.NewDeployment(t)
	var before int64
	for round := range 2 {
		server := deployment.GoServer(t)
		load, err := Join("127.0.0.1:"+deployment.Port, games, interval)
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
		load.ExpectEnd()
		server.Kill()
		if err := load.Close(); err != nil {
			t.Error(err)
		}
		numbers, err := load.Verify(deployment.Dir)
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

// Verify finds a file that was damaged.
func TestVerifyFindsALoss(t *testing.T) {
	t.Parallel()
	deployment := harness.NewDeployment(t)
	server := deployment.GoServer(t)
	load, err := Join("127.0.0.1:"+deployment.Port, 2, 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := load.Count(t.Context(), 0, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := load.Await(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if games := harness.Get(t, server.URL+"/games?open"); games.Status != http.StatusOK {
		t.Errorf("/games answers %v", games)
	}
	load.ExpectEnd()
	server.Kill()
	if err := load.Close(); err != nil {
		t.Error(err)
	}
	path := filepath.Join(deployment.Dir, "games", Name(1), numbersfile.Name)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		string(whole):       "<nil>",
		string(whole) + "x": "not an unbroken count",
		strings.Replace(string(whole), "two\n", "", 1): "not an unbroken count",
		"one\n": "was acked, but the file ends with 1",
	} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := load.Verify(deployment.Dir); !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("Verify of %d bytes: %v, want %s", len(text), err, want)
		}
	}
}
