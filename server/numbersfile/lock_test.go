package numbersfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"counting/server/store"
)

// Two servers had separate directories with the same file in both: each wrote its
// lines, and one acked lines that the other had written.
func TestAFileThatIsInTwoDirectoriesHasOneServer(t *testing.T) {
	t.Parallel()
	dir, other := dirWith(t, counted(1, 3)), t.TempDir()
	path := filepath.Join(other, Name)
	if err := os.Link(filepath.Join(dir, Name), path); err != nil {
		t.Fatal(err)
	}
	first := mustOpen(t, dir, Options{})
	_, err := Open(t.Context(), other, Options{lockWait: time.Millisecond})
	if !errors.Is(err, ErrLocked) {
		t.Errorf("error is %v, want ErrLocked", err)
	}
	checkContains(t, err, path+" is in use by another server; stop it or use another -data directory")

	faithful := start(mustOpen(t, other, Options{Faithful: true}))
	faithful.AppendLine("minus one")
	if got := faithful.next(t).state; !strings.Contains(got, "is in use by another server") {
		t.Errorf("a faithful server reports %q", got)
	}
	if err := faithful.Close(t.Context()); err != nil {
		t.Error(err)
	}
	run := start(first)
	run.Append(4)
	run.written(t, 4)
	if err := run.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got := mustOpen(t, other, Options{}).Recovery(); got.Last != 4 || got.Bad != nil {
		t.Errorf("after the first is closed, the other finds %v", got)
	}
}

// On shared folders and some network shares the server did not start, and its hint
// was about permissions.
func TestAFileSystemWithoutLocksIsNamed(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{syscall.ENOLCK, syscall.ENOSYS, syscall.EOPNOTSUPP, syscall.EINVAL, syscall.EBADF} {
		dir := t.TempDir()
		flock := func(f *os.File) error { return &os.PathError{Op: "lock", Path: f.Name(), Err: cause} }
		_, err := Open(t.Context(), dir, Options{flock: flock})
		checkContains(t, err, "data directory "+dir+" cannot be locked (lock "+dir+": "+cause.Error()+"): its file system does not support locks")
		checkContains(t, err, "use a -data directory on a disk of this machine")
		if err != nil && strings.Contains(err.Error(), "can write to") {
			t.Errorf("the hint misleads: %v", err)
		}
	}
	_, err := Open(t.Context(), t.TempDir(), Options{flock: func(*os.File) error { return syscall.EIO }})
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("another error is %v", err)
	}
}

// syncer is a directory whose sync fails.
type syncer struct{ err error }

func (s syncer) Sync() error { return s.err }

// On shared folders the server did not start, as they do not sync directories.
func TestADirectoryThatCannotBeSyncedIsHarmless(t *testing.T) {
	t.Parallel()
	for _, harmless := range []error{nil, syscall.EINVAL, syscall.ENOTSUP, &os.PathError{Op: "sync", Path: "data", Err: syscall.EINVAL}} {
		if err := syncDir(syncer{harmless}); err != nil {
			t.Errorf("%v is an error", err)
		}
	}
	if err := syncDir(syncer{syscall.EIO}); !errors.Is(err, syscall.EIO) {
		t.Errorf("an input/output error is %v", err)
	}
	_, err := Open(t.Context(), t.TempDir(), Options{syncDir: func(*os.File) error { return syscall.EIO }})
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("Open returns %v", err)
	}
}

// A directory that cannot be opened is released.
func TestADirWhoseGamesCannotBeRead(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	games := filepath.Join(path, "games")
	if err := os.WriteFile(games, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	wait := Options{lockWait: 1}
	for range 2 {
		if _, err := openDir(t.Context(), path, wait); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("the error is %v", err)
		}
	}
	if err := os.Remove(games); err != nil {
		t.Fatal(err)
	}
	mustOpenDir(t, path, wait)
}

// A game that is being opened while the directory is closed is released.
func TestADirThatIsClosedWhileAGameIsOpened(t *testing.T) {
	t.Parallel()
	path := dirWith(t, "one\n")
	var d *Dir
	closed := make(chan error, 1)
	isClosed := func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.closed
	}
	d = mustOpenDir(t, path, Options{flock: func(file *os.File) error {
		if filepath.Base(file.Name()) == Name {
			go func() { closed <- d.Close(context.Background()) }()
			for !isClosed() {
				time.Sleep(time.Millisecond)
			}
		}
		return flock(file)
	}})
	if _, err := d.Open(t.Context(), store.Default, true); !errors.Is(err, errClosed) {
		t.Errorf("the error is %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	other := t.TempDir() // the lock of path itself is held until the process ends
	if err := os.Link(filepath.Join(path, Name), filepath.Join(other, Name)); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, other, Options{lockWait: 1})
}

// A standby tries to lock the directory 40 times a second.
func TestALockThatIsHeldLeavesNoFileOpen(t *testing.T) {
	t.Parallel()
	var tried *os.File
	o := Options{flock: func(file *os.File) error { tried = file; return errHeld }}.defaults()
	if _, err := o.tryLockDir(t.TempDir()); !errors.Is(err, errHeld) {
		t.Fatal(err)
	}
	if _, err := tried.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file is still open: %v", err)
	}
}

// A server that takes over a directory which it cannot use says why.
func TestADirectoryThatCannotBeTakenOver(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	release := heldBy(t, path)
	s := openShared(t, path, "b", Options{})
	if err := os.WriteFile(filepath.Join(path, gamesDir), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	release()
	waitFor(t, "the reason", func() bool {
		err := s.Ready()
		return errors.Is(err, store.ErrNoOwner) && strings.Contains(err.Error(), filepath.Join(path, gamesDir))
	})
}
