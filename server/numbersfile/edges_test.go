package numbersfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"counting/server/spelling"
	"counting/server/store"
)

// What was written after another program has changed the file is taken back only if it is
// the end of the file, and not at the place where it belongs.
func TestTakeBack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		size       int64 // of the lines that are known
		at         int64 // the position after the write
		want       string
	}{
		{"after the known lines", "one\ntwo\nthree\n", 14, 14, "one\ntwo\nthree\n"},
		{"after fewer lines", "one\nthree\n", 14, 10, "one\n"},
		{"after more lines", "one\ntwo\nx\nthree\n", 14, 16, "one\ntwo\nx\n"},
		{"before other lines", "one\nthree\nx\n", 14, 10, "one\nthree\nx\n"},
	} {
		path := filepath.Join(dirWith(t, tt.text), Name)
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.Seek(tt.at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		d := &durable{disk: appended{file}, size: tt.size}
		if err := d.takeBack(int64(len("three\n"))); err != nil || content(t, path) != tt.want {
			t.Errorf("%s: the file is %q, %v", tt.name, content(t, path), err)
		}
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	closed := &durable{disk: appended{file}}
	if err := closed.takeBack(1); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a closed file: %v", err)
	}
	retried := func(error) bool { t.Error("it is tried again"); return false }
	if _, err := closed.write([]byte("one\n"), retried); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a write to a closed file: %v", err)
	}
}

// Once a failed write was undone, what another program appends is not cut off.
func TestAWriteThatWasUndoneIsUndoneOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, d := openFaulty(t, dir)
	d.set(func() { d.write = d.part(2, syscall.ENOSPC) })
	r := start(f)
	r.Append(1)
	if state := r.next(t).state; state == "works" {
		t.Errorf("the state is %q", state)
	}
	d.set(func() { d.write = nil })
	r.written(t, 1)
	path := filepath.Join(dir, Name)
	if err := os.WriteFile(path, []byte("one\nnot a number\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	r.Append(2)
	if err := r.ended(t); !errors.Is(err, ErrChanged) {
		t.Errorf("it ends with %v", err)
	}
	if got := content(t, path); got != "one\nnot a number\n" {
		t.Errorf("the file is %q", got)
	}
}

func TestLastUnbroken(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"":                            0,
		"one\ntwo\n":                  2,
		"one\nthree\ntwo\n":           3,
		"one\nthree\ntwo\nfour":       3,
		counted(1, 999) + "x\n":       999,
		counted(1, 5) + counted(5, 7): 7,
	} {
		if got, err := LastUnbroken(filepath.Join(dirWith(t, text), Name)); err != nil || got != want {
			t.Errorf("%.40q has the numbers up to %d, %v; want %d", text, got, err, want)
		}
	}
	if _, err := LastUnbroken(filepath.Join(t.TempDir(), Name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: %v", err)
	}
	if _, err := LastUnbroken(t.TempDir()); err == nil {
		t.Error("a directory has numbers")
	}
}

// failingReader fails for offsets from at on.
type failingReader struct {
	io.ReaderAt
	at int64
}

var errRead = errors.New("input/output error")

func (r failingReader) ReadAt(b []byte, offset int64) (int, error) {
	if offset+int64(len(b)) > r.at {
		return 0, errRead
	}
	return r.ReaderAt.ReadAt(b, offset)
}

// A part of a file that cannot be read is an error, wherever it is, and not the end of the
// count.
func TestAFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	text := counted(1, 100_000)
	size := int64(len(text))
	for _, at := range []int64{0, 1, size / 2, size - 1} {
		if got, err := readPrefix(failingReader{strings.NewReader(text), at}, size, func(int64) {}); !errors.Is(err, errRead) {
			t.Errorf("unreadable from byte %d on, it has %d lines, %v", at, got.lines, err)
		}
	}
	if _, err := mismatchAfter(failingReader{strings.NewReader("one\nx\n"), 5}, 6, prefix{1, 4}); !errors.Is(err, errRead) {
		t.Errorf("the line that differs: %v", err)
	}
}

// Lines of about the length at which they are shortened.
func TestShortenedLines(t *testing.T) {
	t.Parallel()
	for length, want := range map[int]string{
		79: strings.Repeat("x", 79),
		80: strings.Repeat("x", 80),
		81: strings.Repeat("x", 80) + "…",
	} {
		for _, end := range []string{"", "\n", "\nmore\n"} {
			text := strings.Repeat("x", length) + end
			got, err := mismatchAfter(strings.NewReader(text), int64(len(text)), prefix{})
			if err != nil || got.Got != want || got.Torn != (end == "" && length <= 80) {
				t.Errorf("%d characters and %q: %q, torn %v, %v", length, end, got.Got, got.Torn, err)
			}
		}
	}
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
	eventually(t, func() bool {
		err := s.Ready()
		return errors.Is(err, store.ErrNoOwner) && strings.Contains(err.Error(), filepath.Join(path, gamesDir))
	})
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

// Only a regular file with the same content is the copy of what was cut off.
func TestSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "copy")
	if err := os.WriteFile(path, []byte("tw\x00"), 0o666); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"tw\x00": true, "tw": false, "tw\x00\x00": false, "tx\x00": false, "tw\x01": false, "xw\x00": false, "": false} {
		r := strings.NewReader("one\n" + text)
		if got := same(path, io.NewSectionReader(r, 4, int64(len(text)))); got != want {
			t.Errorf("%q is the same: %v", text, got)
		}
	}
	for _, other := range []string{dir, filepath.Join(dir, "none"), os.DevNull} {
		if same(other, io.NewSectionReader(strings.NewReader(""), 0, 0)) {
			t.Errorf("%s is the same as nothing", other)
		}
	}
}

// Numbers beyond those that a file of this size can hold in order are not looked at.
func TestLastUnbrokenOfFarNumbers(t *testing.T) {
	t.Parallel()
	for n := int64(1); n <= 200; n++ {
		text := spelling.Spell(n) + "\n"
		want := int64(0)
		if n == 1 {
			want = 1
		}
		got, err := lastUnbroken(io.NewSectionReader(strings.NewReader(text), 0, int64(len(text))), 0, func(int64) {})
		if err != nil || got != want {
			t.Errorf("%q has the numbers up to %d, %v", text, got, err)
		}
	}
}

// Progress is reported for each megabyte.
func TestProgressOfLastUnbroken(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("not a number\n", 300_000)
	var at []int64
	if _, err := lastUnbroken(io.NewSectionReader(strings.NewReader(text), 0, int64(len(text))), 0, func(done int64) { at = append(at, done) }); err != nil {
		t.Fatal(err)
	}
	if len(at) != len(text)>>20 {
		t.Fatalf("it is reported %d times for %d bytes", len(at), len(text))
	}
	for i, done := range at {
		if least := int64(i+1) << 20; done < least || done > least+20 {
			t.Errorf("report %d is of %d bytes", i, done)
		}
	}
}
