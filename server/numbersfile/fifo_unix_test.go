//go:build unix

package numbersfile

import (
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
}
