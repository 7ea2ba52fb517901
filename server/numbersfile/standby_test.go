package numbersfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"counting/server/store"
	"counting/server/store/storetest"
)

const patience = 10 * time.Second

func openShared(t *testing.T, path, name string, options Options) *Shared {
	t.Helper()
	s, err := OpenShared(path, 0, store.Elsewhere{Owner: name, Addr: name + ":1", Secret: "secret of " + name}, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

// progress records what Options.Progress is called with.
type progress struct {
	mu    sync.Mutex
	lines []string
}

func (p *progress) options() Options {
	return Options{Progress: func(line string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lines = append(p.lines, line)
	}}
}

// take returns the lines since it was last called.
func (p *progress) take() (lines []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines, p.lines = p.lines, nil
	return lines
}

func isOwned(s *Shared) bool {
	select {
	case <-s.Owned():
		return true
	default:
		return false
	}
}

func waitOwned(t *testing.T, s *Shared) {
	t.Helper()
	select {
	case <-s.Owned():
	case <-time.After(patience):
		t.Fatal("the directory is not taken over")
	}
}

// waitElsewhere waits until s says that the game is owned by that server.
func waitElsewhere(t *testing.T, s *Shared, name string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		_, err := s.Open(t.Context(), store.Default, true)
		owner := new(store.Elsewhere)
		if errors.As(err, &owner) && *owner == (store.Elsewhere{Owner: name, Addr: name + ":1", Secret: "secret of " + name}) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it says %v, not that %s owns the game", err, name)
		}
	}
}

// A directory on which several servers may be started passes the tests of a store.
func TestSharedIsAStore(t *testing.T) {
	t.Parallel()
	paths := sync.Map{}
	storetest.Run(t, 20, func(t *testing.T) store.Store {
		path, _ := paths.LoadOrStore(t.Name(), t.TempDir())
		s, err := OpenShared(path.(string), 20, store.Elsewhere{Owner: "a", Addr: "a:1", Secret: "x"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		waitOwned(t, s) // the lock may still be held by a process that another test starts
		return s
	})
}

// One of several servers owns the directory, the others return its address, and when
// it has closed the directory another one continues the count.
func TestOneOfSeveralServersOwnsADirectory(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	a := openShared(t, path, "a", Options{})
	waitOwned(t, a)
	count, err := a.Open(t.Context(), store.Default, true)
	if err != nil {
		t.Fatal(err)
	}
	count.Append(3)
	var said progress
	b := openShared(t, path, "b", said.options())
	waitElsewhere(t, b, "a")
	faithful := openShared(t, path, "f", Options{Faithful: true})
	waitElsewhere(t, faithful, "a")
	if err := faithful.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if isOwned(b) {
		t.Error("two servers own the directory")
	}
	if owner := new(store.Elsewhere); !errors.As(b.Ready(), &owner) {
		t.Errorf("a server that stands by is ready: %v", b.Ready())
	}
	if _, err := b.OpenFile(t.Context()); !errors.As(err, new(*store.Elsewhere)) {
		t.Errorf("it opens the file of another: %v", err)
	}
	c := openShared(t, path, "c", Options{}) // either of them
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Open(t.Context(), store.Default, true); err == nil {
		t.Error("a closed one opens a game")
	}
	waitFor(t, "the directory to be taken over", func() bool { return isOwned(b) || isOwned(c) })
	next := b
	if isOwned(c) {
		next = c
	}
	count, err = next.Open(t.Context(), store.Default, true)
	if err != nil {
		t.Fatal(err)
	}
	if last := count.Opened().Last; last != 3 {
		t.Errorf("it continues from %d", last)
	}
	if text := strings.Join(said.take(), "\n"); !strings.Contains(text, "Standing by for a at a:1, which has data directory "+path) {
		t.Errorf("it says %s", text)
	}
}

// The owner file of a server that was killed is not taken for that of the next owner,
// and an owner without the file cannot be reached.
func TestAnOwnerFileIsBelievedOnlyOfWhoHasTheLock(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	if err := writeOwner(path, store.Elsewhere{Owner: "dead", Addr: "dead:1", Secret: "secret of dead"}); err != nil {
		t.Fatal(err)
	}
	a := openShared(t, path, "a", Options{})
	waitOwned(t, a)
	b := openShared(t, path, "b", Options{})
	waitElsewhere(t, b, "a")
	info, err := os.Stat(filepath.Join(path, OwnerName))
	if err != nil || info.Mode().Perm()&0o077 != 0 && filepath.Separator == '/' {
		t.Errorf("the owner file is %v, %v", info, err)
	}
	for _, text := range []string{"", "{", `{"Owner":"x"}`, `{"Addr":"x:1"}`} {
		if err := os.WriteFile(filepath.Join(path, OwnerName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		waitFor(t, fmt.Sprintf("%q not to be believed", text), func() bool { return errors.Is(b.Ready(), store.ErrNoOwner) })
		checkContains(t, b.Ready(), "has not published its address")
		writeOwner(path, a.self)
		waitElsewhere(t, b, "a")
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitOwned(t, b)
}

// heldBy locks a directory as another server does.
func heldBy(t *testing.T, path string) (release func()) {
	t.Helper()
	held, err := Options{}.defaults().tryLockDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return func() { held.Close() }
}

// Each change is reported once, though the lock is tried many times.
func TestAServerThatStandsByReportsWhatChanges(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var said progress
		expect := func(want ...string) {
			t.Helper()
			time.Sleep(10 * lockPoll) // of the bubble
			synctest.Wait()
			if diff := cmp.Diff(want, said.take()); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
		}
		release := heldBy(t, path)
		s := openShared(t, path, "s", said.options())
		expect("Standing by: data directory " + path + " is in use by another server.")
		owner := func(name string) {
			if err := writeOwner(path, store.Elsewhere{Owner: name, Addr: name + ":1", Secret: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		owner("a")
		expect("Standing by for a at a:1, which has data directory " + path + ": requests are forwarded to it.")
		owner("b")
		expect("Standing by for b at b:1, which has data directory " + path + ": requests are forwarded to it.")
		if err := os.Remove(filepath.Join(path, OwnerName)); err != nil {
			t.Fatal(err)
		}
		expect()
		owner("b")
		expect()
		time.Sleep(9 * time.Second) // 10.25 s with the above
		release()
		expect("Taking over data directory " + path + " after 10s of standing by.")
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A server that takes a directory immediately does not take it over.
func TestTheFirstServerReportsNothing(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openShared(t, path, "s", Options{Progress: func(line string) { t.Error(line) }})
		time.Sleep(10 * lockPoll)
		if !isOwned(s) {
			t.Error("it does not own the directory")
		}
		s.Close(t.Context())
	})
}

// An owner file that cannot be written is reported once, and tried again.
func TestAnOwnerFileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	inTheWay := filepath.Join(path, OwnerName+".tmp")
	if err := os.MkdirAll(filepath.Join(inTheWay, "x"), 0o777); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var said progress
		s := openShared(t, path, "s", said.options())
		time.Sleep(5 * publishRetry)
		synctest.Wait()
		if lines := said.take(); len(lines) != 1 || !strings.HasPrefix(lines[0], "Servers that stand by cannot learn the address of this one: ") {
			t.Errorf("it says %q", lines)
		}
		if err := os.RemoveAll(inTheWay); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * publishRetry)
		synctest.Wait()
		if owner, err := readOwner(path); err != nil || owner.Owner != "s" {
			t.Errorf("the owner is %v, %v", owner, err)
		}
		s.Close(t.Context())
	})
}

// A server removes its owner file when it closes the directory, unless it has no time
// left, and one that stands by does not take a directory over any more.
func TestAServerThatIsClosed(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	file := filepath.Join(path, OwnerName)
	synctest.Test(t, func(t *testing.T) {
		a := openShared(t, path, "a", Options{})
		b := openShared(t, path, "b", Options{})
		synctest.Wait()
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := b.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if _, err := b.Open(t.Context(), store.Default, true); !errors.Is(err, errClosed) {
			t.Errorf("a server that stood by and is closed says %v", err)
		}
		for range 2 {
			if err := a.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the owner file is still there: %v", err)
			}
		}
		time.Sleep(10 * lockPoll)
		heldBy(t, path)()

		c := openShared(t, path, "c", Options{})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c.Close(ctx)
		time.Sleep(time.Second)
		if _, err := os.Stat(file); err != nil {
			t.Errorf("a server without time removes its owner file: %v", err)
		}
	})
}

// A directory that cannot be locked at all is an error of OpenShared: waiting would
// not help.
func TestADirectoryThatCannotBeLockedIsNotStoodByFor(t *testing.T) {
	t.Parallel()
	flock := func(f *os.File) error { return &os.PathError{Op: "lock", Path: f.Name(), Err: syscall.ENOLCK} }
	_, err := OpenShared(t.TempDir(), 0, store.Elsewhere{}, Options{flock: flock})
	checkContains(t, err, "its file system does not support locks")
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o666)
	_, err = OpenShared(file, 0, store.Elsewhere{}, Options{})
	checkContains(t, err, "-data must name a directory")
}

// The owner file is written in place of what a server left that was killed, and nothing is
// left of one that could not be written.
func TestWriteOwner(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	temp := filepath.Join(path, OwnerName+".tmp")
	if err := os.WriteFile(temp, []byte("{"), 0o400); err != nil {
		t.Fatal(err)
	}
	self := store.Elsewhere{Owner: "a", Addr: "a:1", Secret: "secret"}
	if err := writeOwner(path, self); err != nil {
		t.Fatal(err)
	}
	if owner, err := readOwner(path); err != nil || *owner != self {
		t.Errorf("read is %v, %v", owner, err)
	}
	checkTree(t, path, OwnerName)
	path = t.TempDir()
	if err := os.MkdirAll(filepath.Join(path, OwnerName, "in the way"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := writeOwner(path, self); err == nil {
		t.Error("it is written over a directory")
	}
	checkTree(t, path, OwnerName, OwnerName+"/in the way")
}

// The file of faithful mode is opened by the server that owns the directory.
func TestOpenFile(t *testing.T) {
	t.Parallel()
	path := dirWith(t, "x\n")
	s := openShared(t, path, "a", Options{Faithful: true})
	waitOwned(t, s)
	f, err := s.OpenFile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.AppendLine("seven")
	if err := f.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got := content(t, filepath.Join(path, Name)); got != "x\nseven\n" {
		t.Errorf("the file is %q", got)
	}
	broken := openShared(t, t.TempDir(), "b", Options{})
	waitOwned(t, broken)
	if err := os.Mkdir(filepath.Join(broken.path, Name), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := broken.OpenFile(t.Context()); err == nil || !strings.Contains(err.Error(), Name) {
		t.Errorf("a directory is opened as the file: %v", err)
	}
}
