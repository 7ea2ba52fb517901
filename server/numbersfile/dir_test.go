package numbersfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"counting/server/spelling"
	"counting/server/store"
	"counting/server/store/storetest"
)

func TestDirIsAStore(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	dirs := make(map[*testing.T]string)
	storetest.Run(t, 20, func(t *testing.T) store.Store {
		mu.Lock()
		path, known := dirs[t]
		if !known {
			path = t.TempDir()
			dirs[t] = path
		}
		mu.Unlock()
		return mustOpenDir(t, path, Options{})
	})
}

// openDir opens a directory, for which it waits, with at most 20 games.
func openDir(ctx context.Context, path string, options Options) (*Dir, error) {
	options = options.defaults()
	held, err := options.lockDir(ctx, path)
	if err != nil {
		return nil, err
	}
	return newDir(path, held, 20, options)
}

func mustOpenDir(tb testing.TB, path string, options Options) *Dir {
	tb.Helper()
	d, err := openDir(tb.Context(), path, options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { d.Close(context.Background()) })
	return d
}

func mustOpenGame(tb testing.TB, d *Dir, game string) store.Count {
	tb.Helper()
	c, err := d.Open(tb.Context(), game, true)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// tree returns the paths of all files and directories below dir.
func tree(tb testing.TB, dir string) (paths []string) {
	tb.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if path != dir {
			rel, _ := filepath.Rel(dir, path)
			paths = append(paths, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return paths
}

func checkTree(tb testing.TB, dir string, want ...string) {
	tb.Helper()
	got := slices.DeleteFunc(tree(tb, dir), func(path string) bool { return strings.HasSuffix(path, ".lock") })
	if !slices.Equal(got, want) {
		tb.Errorf("the data directory holds %q, want %q", got, want)
	}
}

// Each game has its own file; the default game's is in the data directory itself.
func TestWhereTheFilesAre(t *testing.T) {
	t.Parallel()
	path := dirWith(t, "one\ntwo\n")
	d := mustOpenDir(t, path, Options{})
	for _, name := range storetest.HostileNames {
		if c, err := d.Open(t.Context(), name, true); err == nil {
			t.Errorf("%.80q is opened", name)
			c.Close(t.Context())
		}
	}
	checkTree(t, path, "numbers.txt")
	a, b := mustOpenGame(t, d, store.Default), mustOpenGame(t, d, "blue")
	checkTree(t, path, "numbers.txt") // a game is made when something is counted
	a.Append(3)
	b.Append(1)
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := content(t, filepath.Join(path, "numbers.txt")); got != counted(1, 3) {
		t.Errorf("the default game has %q", got)
	}
	if got := content(t, filepath.Join(path, "games", "blue", "numbers.txt")); got != "one\n" {
		t.Errorf("blue has %q", got)
	}
}

// Paths lists the files that exist, whatever else is in the directory.
func TestPaths(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	expect := func(names ...string) {
		t.Helper()
		got, err := Paths(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			names[i] = filepath.Join(path, filepath.FromSlash(name))
		}
		if !slices.Equal(got, names) {
			t.Errorf("the paths are %q, want %q", got, names)
		}
	}
	expect()
	for _, name := range []string{"games/green/numbers.txt", "games/blue/numbers.txt", "games/Not.A.Game/numbers.txt", "games/empty/other.txt"} {
		file := filepath.Join(path, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	expect("games/blue/numbers.txt", "games/green/numbers.txt")
	if err := os.WriteFile(filepath.Join(path, Name), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	expect("numbers.txt", "games/blue/numbers.txt", "games/green/numbers.txt")
	if err := os.RemoveAll(filepath.Join(path, "games")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "games"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if got, err := Paths(path); err == nil {
		t.Errorf("the paths are %q, and games is not a directory", got)
	}
}

// The directory has one lock, which also excludes a server of one game.
func TestADirIsLocked(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := mustOpenDir(t, path, Options{})
	select {
	case <-d.Owned():
	default:
		t.Error("the directory is locked and not owned")
	}
	wait := Options{lockWait: 1}
	if _, err := openDir(t.Context(), path, wait); err == nil || !strings.Contains(err.Error(), ErrLocked.Error()) {
		t.Errorf("a second one is opened: %v", err)
	}
	if _, err := Open(t.Context(), path, wait); err == nil || !strings.Contains(err.Error(), ErrLocked.Error()) {
		t.Errorf("the file is opened a second time: %v", err)
	}
	d.Close(t.Context())
	mustOpenDir(t, path, wait)
}

// The name of a file is synced in its own directory.
func TestOpenSyncsTheDirectoryOfTheFile(t *testing.T) {
	t.Parallel()
	path := dirWith(t, "one\n")
	blue := filepath.Join(path, gamesDir, "blue")
	if err := os.MkdirAll(blue, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(blue, Name), []byte("one\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	var synced []string
	d := mustOpenDir(t, path, Options{syncDir: func(dir *os.File) error { synced = append(synced, dir.Name()); return nil }})
	mustOpenGame(t, d, "blue")
	mustOpenGame(t, d, store.Default)
	if want := []string{blue, path}; !slices.Equal(synced, want) {
		t.Errorf("synced are %q, want %q", synced, want)
	}
}

// An unusable directory of a game is an error of that game only.
func TestABadGameIsAnErrorOfItsOwn(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	games := filepath.Join(path, "games")
	for name, bad := range map[string]func(dir string) error{
		"file":      func(dir string) error { return os.WriteFile(dir, nil, 0o666) },
		"directory": func(dir string) error { return os.MkdirAll(filepath.Join(dir, Name), 0o777) },
	} {
		os.MkdirAll(games, 0o777)
		if err := bad(filepath.Join(games, name)); err != nil {
			t.Fatal(err)
		}
	}
	d := mustOpenDir(t, path, Options{})
	for _, name := range []string{"file", "directory"} {
		for range 2 {
			_, err := d.Open(t.Context(), name, true)
			checkContains(t, err, filepath.Join("games", name))
		}
	}
	good := mustOpenGame(t, d, "good")
	good.Append(1)
	if err := good.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if games, err := d.Games(t.Context(), "", 10); err != nil || len(games) != 1 || games[0].Name != "good" {
		t.Errorf("the games are %v, %v", games, err)
	}
}

// A fault of one game does not make the others unready.
func TestReadyIsAboutMostGames(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	for _, game := range []string{"a", "b", "c"} {
		makeGame(t, path, game)
	}
	d := mustOpenDir(t, path, Options{})
	ended := make(map[string]chan error)
	counts := make(map[string]store.Count)
	for _, game := range []string{store.Default, "a", "b", "c"} {
		c, end := mustOpenGame(t, d, game), make(chan error, 1)
		counts[game], ended[game] = c, end
		go func() { end <- c.Run(store.Callbacks{}) }()
	}
	fail := func(game string) {
		t.Helper()
		if err := os.WriteFile(d.file(game), []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
		counts[game].Append(1)
		checkContains(t, <-ended[game], ErrChanged.Error())
	}
	fail("a")
	if err := d.Ready(); err != nil || counts["a"].Ready() == nil {
		t.Errorf("with one of four at fault, it is %v", err)
	}
	fail("b")
	fail("c")
	checkContains(t, d.Ready(), ErrChanged.Error())
	for _, game := range []string{"a", "b", "c"} {
		checkContains(t, counts[game].Close(t.Context()), ErrChanged.Error())
	}
	if err := d.Ready(); err != nil {
		t.Errorf("when they are closed, it is %v", err)
	}
	fail(store.Default)
	checkContains(t, d.Ready(), ErrChanged.Error())
}

// makeGame creates the empty file of a game.
func makeGame(t *testing.T, dir, game string) {
	t.Helper()
	dir = filepath.Join(dir, gamesDir, game)
	if err := errors.Join(os.MkdirAll(dir, 0o777), os.WriteFile(filepath.Join(dir, Name), nil, 0o666)); err != nil {
		t.Fatal(err)
	}
}

// Creating a game's file is retried, like a write to a full disk.
func TestAGameThatCannotBeMade(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	var full atomic.Bool
	full.Store(true)
	d := mustOpenDir(t, path, Options{syncDir: func(*os.File) error {
		if full.Load() {
			return syscall.ENOSPC
		}
		return nil
	}})
	c := mustOpenGame(t, d, "blue")
	states, written := make(chan error, 10), make(chan int64, 10)
	go c.Run(store.Callbacks{OnCommit: func(upTo int64, _ time.Duration) { written <- upTo }, OnHealth: func(err error) { states <- err }})
	c.Append(2)
	if err := <-states; err == nil || len(written) > 0 || c.Ready() == nil {
		t.Errorf("the state is %v", err)
	}
	full.Store(false)
	if err := <-states; err != nil {
		t.Errorf("the state is %v", err)
	}
	if upTo := <-written; upTo != 2 {
		t.Errorf("%d was written", upTo)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkTree(t, path, "games", "games/blue", "games/blue/numbers.txt")
}

// A file that somebody else has created at the game's path is not changed.
func TestAGameThatSomebodyElseMakes(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := mustOpenDir(t, path, Options{})
	c := mustOpenGame(t, d, "blue")
	makeGame(t, path, "blue")
	file := filepath.Join(path, gamesDir, "blue", Name)
	if err := os.WriteFile(file, []byte("one\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	c.Append(1)
	checkContains(t, c.Run(store.Callbacks{OnCommit: func(upTo int64, _ time.Duration) { t.Errorf("%d is reported as written", upTo) }}), ErrChanged.Error())
	if text, err := os.ReadFile(file); err != nil || string(text) != "one\n" {
		t.Errorf("the file is %q, %v", text, err)
	}
	c.Close(t.Context())
	again := mustOpenGame(t, d, "blue")
	if last := again.Opened().Last; last != 1 {
		t.Errorf("opened again, it is at %d", last)
	}
}

// The length of a count is derived from the size of its file.
func TestCountOfSize(t *testing.T) {
	t.Parallel()
	size := int64(0)
	for n := int64(1); n <= 12_345; n++ {
		line := int64(len(spelling.Spell(n)) + 1)
		if n > 120 && (n+3)%1000 > 6 {
			size += line
			continue
		}
		if got := countOfSize(size + line - 1); got != 0 {
			t.Fatalf("%d bytes are said to be the count to %d", size+line-1, got)
		}
		size += line
		if got := countOfSize(size); got != n {
			t.Fatalf("%d bytes are said to be the count to %d, not to %d", size, got, n)
		}
	}
}
