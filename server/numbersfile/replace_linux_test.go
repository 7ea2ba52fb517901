package numbersfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is the id of a user without files.
const nobody = 65532

// asNobody runs f on a thread whose file system user does not own the test's files,
// or, without the permission to change it, as the current user.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with this
		unix.SetfsgidRetGid(nobody)
		unix.SetfsuidRetUid(nobody)
		f()
	}()
	<-done
}

// readOnlyFile returns a directory of mode dir, whose numbers.txt user nobody can
// only read.
func readOnlyFile(t *testing.T, text string, dir fs.FileMode) string {
	t.Helper()
	path := dirWith(t, text)
	setModes(t, path, dir, 0o444)
	t.Cleanup(func() { os.Chmod(path, 0o777) })
	return path
}

// setModes sets the modes of a data directory that anybody can reach, and of its
// numbers.txt.
func setModes(t *testing.T, path string, dir, file fs.FileMode) {
	t.Helper()
	for name, mode := range map[string]fs.FileMode{filepath.Join(path, Name): file, path: dir, filepath.Dir(path): 0o755} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFileThatCanOnlyBeReadIsReplacedByACopy(t *testing.T) {
	t.Parallel()
	for _, left := range []bool{false, true} {
		t.Run(fmt.Sprintf("a copy was left: %v", left), func(t *testing.T) {
			t.Parallel()
			replacedByCopy(t, left)
		})
	}
}

// replacedByCopy tests the replacement, with or without an incomplete copy of an attempt
// that was killed.
func replacedByCopy(t *testing.T, left bool) {
	dir := readOnlyFile(t, counted(1, 57), 0o777)
	path := filepath.Join(dir, Name)
	if left {
		if err := os.WriteFile(path+".new", []byte("one\ntw"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t, func() {
		f, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Error(err)
			return
		}
		if got := f.Recovery(); got.Last != 57 || got.Bad != nil || !got.Replaced {
			t.Errorf("it finds %+v", got)
		}
		const want = "the numbers up to 57 are in it; it was read-only, so it was replaced with a copy"
		if got := f.Recovery().String(); got != want {
			t.Errorf("the log says %q, want %q", got, want)
		}
		f.Append(58)
		r := start(f)
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if got := content(t, path); got != counted(1, 58) {
		t.Errorf("the file holds %q", got)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("the directory holds %v, %v", files, err)
	}
	// It can be written now, and is not replaced again.
	asNobody(t, func() {
		f, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Error(err)
			return
		}
		if got := f.Recovery(); got.Last != 58 || got.Replaced {
			t.Errorf("the next finds %+v", got)
		}
		f.Close(t.Context())
	})
}

func TestWhatCannotBeReplacedIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	const want = "numbers.txt: permission denied (-data must name a directory that this user can write to)"
	check := func(t *testing.T, dir string) {
		t.Helper()
		before := content(t, filepath.Join(dir, Name))
		asNobody(t, func() {
			_, err := Open(t.Context(), dir, Options{})
			checkContains(t, err, want)
		})
		if got := content(t, filepath.Join(dir, Name)); got != before {
			t.Errorf("the file holds %q", got)
		}
		if _, err := os.Lstat(filepath.Join(dir, Name+".new")); err == nil {
			t.Error("a copy is left behind")
		}
	}
	t.Run("in_a_directory_of_others", func(t *testing.T) {
		t.Parallel()
		check(t, readOnlyFile(t, "one\n", 0o555))
	})
	t.Run("a_link_to_a_file_of_others", func(t *testing.T) {
		t.Parallel()
		dir := readOnlyFile(t, "", 0o777)
		path := filepath.Join(dir, Name)
		if err := os.Rename(path, path+".elsewhere"); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path+".elsewhere", path); err != nil {
			t.Fatal(err)
		}
		check(t, dir)
	})
}

func TestOpenNeedsPermission(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "locked up")
	if err := os.Mkdir(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755); err != nil { // the test's own
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		f, err := Open(t.Context(), dir, Options{})
		if err == nil {
			f.Close(t.Context())
		}
		checkContains(t, err, filepath.Join(dir, Name)+": permission denied (-data must name")
	})
}

// What cannot be read is not taken for a copy of what is cut off.
func TestACopyThatCannotBeReadIsLeft(t *testing.T) {
	t.Parallel()
	dir := dirWith(t, "one\ntw")
	path := filepath.Join(dir, Name)
	if err := os.WriteFile(path+".cut-1", []byte("tw"), 0); err != nil {
		t.Fatal(err)
	}
	setModes(t, dir, 0o777, 0o666)
	asNobody(t, func() {
		f, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Error(err)
			return
		}
		if got := f.Recovery().Copy; got != path+".cut-2" {
			t.Errorf("the copy is %s", got)
		}
		f.Close(t.Context())
	})
}
