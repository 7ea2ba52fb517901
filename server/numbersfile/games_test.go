package numbersfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"counting/server/store"
)

// Games in which nothing was counted leave nothing behind, and do not count for the limit
// once they are closed. The default game's file stays.
func TestGamesInWhichNothingWasCounted(t *testing.T) {
	t.Parallel()
	path := dirWith(t, "")
	makeGame(t, path, "old")
	d := mustOpenDir(t, path, Options{})
	for i := range 3 * d.maxGames {
		if err := mustOpenGame(t, d, fmt.Sprint(i)).Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, game := range []string{store.Default, "old"} {
		if err := mustOpenGame(t, d, game).Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	checkTree(t, path, "games", "numbers.txt")
	for i := range d.maxGames {
		mustOpenGame(t, d, fmt.Sprint(i))
	}
	if _, err := d.Open(t.Context(), "more", true); !errors.Is(err, store.ErrTooMany) {
		t.Errorf("with as many as the limit, one more is %v", err)
	}
}

func TestWithoutALimitOfGames(t *testing.T) {
	t.Parallel()
	d := mustOpenDir(t, t.TempDir(), Options{})
	d.maxGames = 0
	mustOpenGame(t, d, "blue")
}

// The name of the first game's directory is synced, and that of the directory of games.
func TestTheFirstGameSyncsItsDirectories(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	var mu sync.Mutex
	var synced []string
	d := mustOpenDir(t, path, Options{syncDir: func(dir *os.File) error {
		mu.Lock()
		defer mu.Unlock()
		synced = append(synced, dir.Name())
		return nil
	}})
	for _, game := range []string{"blue", "green"} {
		c := mustOpenGame(t, d, game)
		c.Append(1)
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	games := filepath.Join(path, gamesDir)
	if want := []string{path, filepath.Join(games, "blue"), filepath.Join(games, "green")}; !slices.Equal(synced, want) {
		t.Errorf("synced are %q, want %q", synced, want)
	}
}

// A client that opens a game does not wait for long for another server that has its file.
func TestAGameWhoseFileIsInUse(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	makeGame(t, path, "blue")
	held, err := os.Open(filepath.Join(path, gamesDir, "blue", Name))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := flock(held); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = mustOpenDir(t, path, Options{}).Open(t.Context(), "blue", true)
	if took := time.Since(began); !errors.Is(err, ErrLocked) || took >= defaultLockWait {
		t.Errorf("it is opened after %v: %v", took, err)
	}
}

// A game that is being opened does not hide the faults of others.
func TestReadyWhileAGameIsBeingOpened(t *testing.T) {
	t.Parallel()
	d := mustOpenDir(t, t.TempDir(), Options{})
	mustOpenGame(t, d, store.Default).(*Count).setState(os.ErrClosed)
	d.mu.Lock()
	d.open["blue"] = new(Count)
	d.mu.Unlock()
	for range 100 { // in any order
		if err := d.Ready(); !errors.Is(err, os.ErrClosed) {
			t.Fatalf("it is %v", err)
		}
	}
	d.mu.Lock()
	delete(d.open, "blue")
	d.mu.Unlock()
}
