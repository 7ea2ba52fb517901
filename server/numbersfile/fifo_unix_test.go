//go:build unix

package numbersfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"counting/server/store"
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

// In faithful mode the complete lines of a write that fails in the middle are written,
// and the others are lost. A pipe whose reader leaves fails like that.
func TestFaithfulModeReportsWhichLinesOfAWriteAreLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, Name)
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Fatal(err)
	}
	f := mustOpen(t, dir, Options{Faithful: true})
	const lines = 100_000 // more than a pipe holds
	for range lines {
		f.AppendLine("twenty-one")
	}
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := start(f)
	read := make([]byte, 1000)
	waitFor(t, "a writer of the pipe", func() bool { // at the end, until the pipe has a writer
		_, err = io.ReadFull(reader, read)
		return err != io.EOF
	})
	if err != nil || !bytes.HasPrefix(read, []byte("twenty-one\ntwenty-one\n")) {
		t.Fatalf("%q, %v", read, err)
	}
	reader.Close()
	if state := r.next(t).state; !strings.Contains(state, "broken pipe") {
		t.Errorf("the state is %q", state)
	}
	written := r.next(t).written
	if written < int64(len(read)/len("twenty-one\n")) || written >= lines {
		t.Errorf("%d of %d lines are written, and %d bytes were read", written, lines, len(read))
	}
	if got, want := r.next(t), (report{dropped: lines}); got != want {
		t.Errorf("reported %+v, want %+v", got, want)
	}
}

// OnDrop may be nil.
func TestFaithfulModeWithoutOnDrop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink("nowhere/"+Name, filepath.Join(dir, Name)); err != nil {
		t.Fatal(err)
	}
	f := mustOpen(t, dir, Options{Faithful: true})
	f.AppendLine("lost")
	failed := make(chan error, 1)
	go f.Run(Callbacks{Callbacks: store.Callbacks{OnHealth: func(err error) { failed <- err }}})
	select {
	case err := <-failed:
		if !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it does not fail")
	}
	if err := f.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
