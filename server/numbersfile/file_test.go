package numbersfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"counting/server/store"
)

func TestLinesAreWrittenInOrderAndReported(t *testing.T) {
	t.Parallel()
	dir := dirWith(t, counted(1, 10))
	r := start(mustOpen(t, dir, Options{}))
	r.Append(11)
	if got, want := r.next(t), (report{written: 11}); got != want {
		t.Errorf("reported %+v, want %+v", got, want)
	}
	if got := content(t, filepath.Join(dir, Name)); got != counted(1, 11) {
		t.Errorf("the file holds %q when the line is reported", got)
	}
	count(r.File, 12, 1000)
	r.Append(5000) // all numbers up to it
	r.written(t, 5000)
	if got := content(t, filepath.Join(dir, Name)); got != counted(1, 5000) {
		t.Error("the file is not a count to 5000")
	}
	if err := r.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
}

func TestAllThatWaitsIsOneBatch(t *testing.T) {
	t.Parallel()
	f := mustOpen(t, t.TempDir(), Options{})
	count(f, 1, 1000)
	r := start(f)
	if got, want := r.next(t), (report{written: 1000}); got != want {
		t.Errorf("reported %+v, want %+v", got, want)
	}
}

func TestAppendFromManyGoroutinesAndFromCallbacks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := mustOpen(t, dir, Options{Faithful: true})
	ended := make(chan error, 1)
	all := make(chan struct{})
	first := sync.OnceFunc(func() { f.AppendLine("x") })
	go func() {
		ended <- f.Run(Callbacks{Callbacks: store.Callbacks{OnCommit: func(upTo int64, _ time.Duration) {
			first()
			if upTo == 4001 {
				close(all)
			}
		}}})
	}()
	for range 4 {
		go func() {
			for range 1000 {
				f.AppendLine("x")
			}
		}()
	}
	<-all
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := content(t, filepath.Join(dir, Name)); got != strings.Repeat("x\n", 4001) {
		t.Error("lines are lost or mixed up")
	}
}

// When the last line was written is known from the file.
func TestWhenAFileWasWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{"": {}, "one\n": time.Unix(1_000_000_000, 0)} {
		dir := dirWith(t, text)
		if err := os.Chtimes(filepath.Join(dir, Name), time.Now(), time.Unix(1_000_000_000, 0)); err != nil {
			t.Fatal(err)
		}
		if got := mustOpen(t, dir, Options{}).Recovery().At; !got.Equal(want) {
			t.Errorf("a file with %q was written at %v, not %v", text, got, want)
		}
	}
}

// A file that has replaced another is a different one, though it may be as long.
func TestCompareFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(dirWith(t, "one\n"), Name)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if same, size, err := compareFile(path, info); !same || size != 4 || err != nil {
		t.Errorf("the file: %t, %d, %v", same, size, err)
	}
	if err := replace("two\n")(path); err != nil {
		t.Fatal(err)
	}
	if same, size, err := compareFile(path, info); same || size != 4 || err != nil {
		t.Errorf("the file that replaced it: %t, %d, %v", same, size, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if same, _, err := compareFile(path, info); same || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %t, %v", same, err)
	}
}

// Append must not accept a number twice, or the file would not be an unbroken count.
func TestANumberIsAppendedOnce(t *testing.T) {
	t.Parallel()
	f := mustOpen(t, dirWith(t, counted(1, 10)), Options{})
	for _, n := range []int64{10, 0, -1} {
		func() {
			defer func() {
				if p := recover(); p == nil {
					t.Errorf("%d is taken after 10", n)
				}
			}()
			f.Append(n)
		}()
	}
}

func TestWrittenSaysHowLongTheFirstHasWaited(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := mustOpen(t, dir, Options{})
		f.Append(1)
		time.Sleep(2 * time.Second) // of the bubble
		f.Append(2)
		time.Sleep(time.Second)
		took := make(chan time.Duration, 1)
		go f.Run(Callbacks{Callbacks: store.Callbacks{OnCommit: func(_ int64, d time.Duration) { took <- d }}})
		if got := <-took; got != 3*time.Second {
			t.Errorf("it says %v", got)
		}
		f.Close(t.Context())
	})
}

func TestCloseWritesWhatWaits(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{true, false} {
		dir := t.TempDir()
		f := mustOpen(t, dir, Options{})
		if running {
			start(f)
		}
		count(f, 1, 2000)
		if err := f.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := content(t, filepath.Join(dir, Name)); got != counted(1, 2000) {
			t.Errorf("running %v: the file is not a count to 2000", running)
		}
		f.Append(2001) // does nothing
		if err := f.Close(t.Context()); err != nil {
			t.Errorf("running %v: the second Close: %v", running, err)
		}
		if err := f.Run(Callbacks{}); err == nil {
			t.Errorf("running %v: Run after Close succeeds", running)
		}
	}
}

func TestOpenMakesTheDirectoryAndTheFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "down")
	f := mustOpen(t, dir, Options{})
	if got := f.Recovery(); got != (Recovery{}) {
		t.Errorf("recovery of nothing: %v", got)
	}
	if got := content(t, filepath.Join(dir, Name)); got != "" {
		t.Errorf("the new file holds %q", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("there are other files in the directory: %v, %v", entries, err)
	}
}

func TestOpenSaysWhichPathCannotBeUsed(t *testing.T) {
	t.Parallel()
	isFile := filepath.Join(dirWith(t, ""), Name)
	isDir := t.TempDir()
	if err := os.Mkdir(filepath.Join(isDir, Name), 0o777); err != nil {
		t.Fatal(err)
	}
	notRegular := t.TempDir()
	if err := os.Symlink(os.DevNull, filepath.Join(notRegular, Name)); err != nil {
		t.Fatal(err)
	}
	const hint = "(-data must name a directory that this user can write to)"
	for name, test := range map[string]struct{ dir, want string }{
		"a_file_instead_of_the_directory": {isFile, isFile + ": not a directory " + hint},
		"a_directory_under_a_file":        {isFile + "/x", isFile + ": not a directory " + hint},
		"a_directory_instead_of_the_file": {isDir, filepath.Join(isDir, Name) + ": is a directory " + hint},
		"a_device":                        {notRegular, filepath.Join(notRegular, Name) + ": not a regular file " + hint},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := Open(t.Context(), test.dir, Options{})
			if err == nil {
				f.Close(t.Context())
			}
			checkContains(t, err, test.want)
		})
	}
}

func TestAFileThatIsChangedUnderTheServerEndsRun(t *testing.T) {
	t.Parallel()
	appendTo := func(path string) error {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = file.WriteString("three\n")
		return errors.Join(err, file.Close())
	}
	tests := map[string]struct {
		change func(path string) error
		left   string
	}{
		"deleted":                     {os.Remove, ""},
		"emptied":                     {func(path string) error { return os.Truncate(path, 0) }, ""},
		"appended_to":                 {appendTo, "one\ntwo\nthree\n"},
		"truncated_within_a_line":     {func(path string) error { return os.Truncate(path, 5) }, "one\nt"},
		"truncated_after_a_line":      {func(path string) error { return os.Truncate(path, 4) }, "one\n"},
		"replaced_by_an_equal_file":   {replace("one\ntwo\n"), "one\ntwo\n"},
		"replaced_by_another":         {replace("one\n"), "one\n"},
		"its_directory_is_moved_away": {func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".old") }, ""},
	}
	for name, test := range tests {
		for _, moment := range []string{"before_a_write", "within_a_write"} {
			t.Run(name+"/"+moment, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "data")
				path := filepath.Join(dir, Name)
				f, d := openFaulty(t, dir)
				r := start(f)
				count(r.File, 1, 2)
				r.written(t, 2)
				change := func() {
					if err := test.change(path); err != nil {
						t.Error(err)
					}
				}
				if moment == "within_a_write" {
					d.set(func() {
						d.write = func(text []byte) (int, error) {
							change()
							return d.File.Write(text)
						}
					})
				} else {
					change()
				}
				count(r.File, 3, 3)
				if err := r.ended(t); !errors.Is(err, ErrChanged) {
					t.Errorf("Run ends with %v, want ErrChanged", err)
				}
				for got := range r.reports {
					if got.written != 0 {
						t.Errorf("line %d is reported as written", got.written)
					}
				}
				if !errors.Is(r.Ready(), ErrChanged) || !errors.Is(r.Close(t.Context()), ErrChanged) {
					t.Error("Ready and Close do not say why")
				}
				if text, err := os.ReadFile(path); string(text) != test.left {
					t.Errorf("the file holds %q, %v, want %q", text, err, test.left)
				}
				// A restart continues from what the file holds.
				again := start(mustOpen(t, dir, Options{}))
				last := again.Recovery().Last
				count(again.File, last+1, 5)
				again.written(t, 5)
				if got := content(t, path); got != counted(1, 5) {
					t.Errorf("after a restart the file holds %q", got)
				}
			})
		}
	}
}

func replace(text string) func(string) error {
	return func(path string) error {
		return errors.Join(os.WriteFile(path+".new", []byte(text), 0o666), os.Rename(path+".new", path))
	}
}

func TestFaithfulModeAppendsAsTheOriginalDoes(t *testing.T) {
	t.Parallel()
	dir := dirWith(t, "one\ntw")
	path := filepath.Join(dir, Name)
	r := start(mustOpen(t, dir, Options{Faithful: true}))
	if got := r.Recovery(); got != (Recovery{}) {
		t.Errorf("it looked at the file: %v", got)
	}
	r.AppendLine("one point five")
	r.written(t, 1)
	if got := content(t, path); got != "one\ntwone point five\n" {
		t.Errorf("the file holds %q", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r.AppendLine("minus seven")
	r.written(t, 2)
	if got := content(t, path); got != "minus seven\n" {
		t.Errorf("after it was created again, the file holds %q", got)
	}

	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	r.AppendLine("lost")
	gone := "open " + path + ": no such file or directory"
	for _, want := range []report{{state: gone}, {dropped: 3}} {
		if got := r.next(t); got != want {
			t.Errorf("reported %+v, want %+v", got, want)
		}
	}
	if r.Ready() == nil {
		t.Error("ready although the last write failed")
	}
	if err := os.Rename(dir+".old", dir); err != nil {
		t.Fatal(err)
	}
	r.AppendLine("eight")
	for _, want := range []report{{state: "works"}, {written: 4}} {
		if got := r.next(t); got != want {
			t.Errorf("reported %+v, want %+v", got, want)
		}
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path); got != "minus seven\neight\n" {
		t.Errorf("the file holds %q", got)
	}
}

func TestFaithfulModeMakesNoFileBeforeTheFirstNumber(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := mustOpen(t, dir, Options{Faithful: true})
	if err := f.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("it made %v", entries)
	}
}

// A file to which nothing is written has no goroutine of its own.
func TestAnIdleFileHasNoGoroutine(t *testing.T) {
	t.Parallel()
	r := start(mustOpen(t, t.TempDir(), Options{}))
	for n := int64(1); n <= 3; n++ {
		r.Append(n)
		r.next(t)
		waitFor(t, "the goroutine to end", func() bool {
			r.queue.mu.Lock()
			defer r.queue.mu.Unlock()
			return !r.queue.working
		})
	}
}
