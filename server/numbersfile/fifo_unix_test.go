//go:build unix

package numbersfile

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Opening a named pipe blocked until somebody opened it for writing.
func TestAPipeIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, Name)
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Fatal(err)
	}
	_, _, err := Verify(path)
	checkContains(t, err, "verify "+path+": not a regular file")
	_, err = Open(t.Context(), dir, Options{})
	checkContains(t, err, path+": not a regular file")

	// Nor are pipes and broken links with the names of copies.
	dir = dirWith(t, "one\ntw")
	path = filepath.Join(dir, Name)
	if err := errors.Join(syscall.Mkfifo(path+".cut-1", 0o666), os.Symlink("nowhere", path+".cut-2")); err != nil {
		t.Fatal(err)
	}
	if got := mustOpen(t, dir, Options{}).Recovery().Copy; got != path+".cut-3" || content(t, got) != "tw" {
		t.Errorf("the copy is %s", got)
	}
}
