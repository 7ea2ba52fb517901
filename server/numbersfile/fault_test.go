package numbersfile

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// faulty is a disk that injects faults. A nil function means no fault.
type faulty struct {
	*os.File
	mu       sync.Mutex
	write    func(text []byte) (int, error)
	sync     func() error
	truncate func() error
}

func (d *faulty) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *faulty) Write(text []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.write != nil {
		return d.write(text)
	}
	return d.File.Write(text)
}

func (d *faulty) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sync != nil {
		return d.sync()
	}
	return d.File.Sync()
}

func (d *faulty) Truncate(size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.truncate != nil {
		return d.truncate()
	}
	return d.File.Truncate(size)
}

// part writes the first n bytes and returns err.
func (d *faulty) part(n int, err error) func([]byte) (int, error) {
	return func(text []byte) (int, error) {
		n, werr := d.File.Write(text[:min(n, len(text))])
		return n, errors.Join(err, werr)
	}
}

func openFaulty(tb testing.TB, dir string) (*File, *faulty) {
	tb.Helper()
	d := new(faulty)
	f := mustOpen(tb, dir, Options{wrap: func(file *os.File) disk {
		d.File = file
		return d
	}})
	return f, d
}

func TestAWriteThatFailsIsUndoneAndTriedAgain(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		part  int
		err   error
		state string
	}{
		"full_disk":                  {0, syscall.ENOSPC, "no space left on device"},
		"full_within_a_line":         {7, syscall.ENOSPC, "no space left on device"},
		"full_after_a_line":          {6, syscall.ENOSPC, "no space left on device"},
		"input_output_error":         {3, syscall.EIO, "input/output error"},
		"read_only":                  {0, syscall.EROFS, "read-only file system"},
		"short_write":                {5, nil, "short write"},
		"all_written_yet_an_error":   {1000, syscall.EIO, "input/output error"},
		"nothing_written_no_error":   {0, nil, "short write"},
		"quota_exceeded_after_lines": {9, syscall.EDQUOT, "disk quota exceeded"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := dirWith(t, "one\ntwo\n")
			path := filepath.Join(dir, Name)
			synctest.Test(t, func(t *testing.T) {
				f, d := openFaulty(t, dir)
				d.write = d.part(test.part, test.err)
				count(f, 3, 5)
				r := start(f)
				began := time.Now()
				checkContains(t, errors.New(r.next(t).state), test.state)
				if got := content(t, path); got != "one\ntwo\n" {
					t.Errorf("the file holds %q while the disk fails", got)
				}
				checkContains(t, r.Ready(), test.state)
				time.Sleep(10 * time.Second) // of the bubble: some retries
				count(f, 6, 7)
				synctest.Wait()
				if len(r.reports) > 0 {
					t.Errorf("each retry is reported: %+v", <-r.reports)
				}
				d.set(func() { d.write = nil })
				for _, want := range []report{{state: "works"}, {written: 5}, {written: 7}} {
					if got := r.next(t); got != want {
						t.Errorf("reported %+v, want %+v", got, want)
					}
				}
				if waited := time.Since(began); waited > 10*time.Second+lastRetry {
					t.Errorf("it took %v until the next attempt", waited)
				}
				if err := r.Ready(); err != nil {
					t.Errorf("not ready: %v", err)
				}
				if err := r.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
			if got := content(t, path); got != counted(1, 7) {
				t.Errorf("the file holds %q", got)
			}
		})
	}
}

func TestRetriesWaitTwiceAsLongEachTimeUpToALimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, d := openFaulty(t, t.TempDir())
		began := time.Now()
		var at []time.Duration
		failing := func([]byte) (int, error) {
			at = append(at, time.Since(began).Round(time.Millisecond))
			return 0, syscall.ENOSPC
		}
		d.write = failing
		r := start(f)
		r.Append(1)
		time.Sleep(8 * time.Second)
		r.Append(2)
		// After a success the waits are short again, also for what was queued before it.
		var first []time.Duration
		d.set(func() {
			d.write = func(text []byte) (int, error) {
				if string(text) == "one\n" {
					first, at, began = at, nil, time.Now()
					return d.File.Write(text)
				}
				return failing(text)
			}
		})
		r.written(t, 1)
		want := []time.Duration{0, 100, 300, 700, 1500, 3100, 5100, 7100}
		for i := range want {
			want[i] *= time.Millisecond
		}
		if !slices.Equal(first, want) {
			t.Errorf("attempts at %v, want %v", first, want)
		}
		time.Sleep(time.Second)
		d.set(func() { d.write = nil })
		r.written(t, 2)
		for i := range at {
			at[len(at)-1-i] -= at[0]
		}
		if want = want[:4]; !slices.Equal(at, want) {
			t.Errorf("attempts of the next write at %v after the first, want %v", at, want)
		}
	})
}

func TestATruncateThatFailsIsRetriedBeforeTheNextWrite(t *testing.T) {
	t.Parallel()
	dir := dirWith(t, "one\n")
	path := filepath.Join(dir, Name)
	synctest.Test(t, func(t *testing.T) {
		f, d := openFaulty(t, dir)
		d.write = d.part(2, syscall.EIO)
		d.truncate = func() error { return syscall.EROFS }
		r := start(f)
		count(r.File, 2, 3)
		if got := r.next(t).state; got != "input/output error\nread-only file system" {
			t.Errorf("the state is %q", got)
		}
		d.set(func() { d.write = nil })
		time.Sleep(10 * time.Second)
		if got := content(t, path); got != "one\ntw" {
			t.Errorf("before it is truncated, the file holds %q", got)
		}
		d.set(func() { d.truncate = nil })
		r.written(t, 3)
		if got := content(t, path); got != counted(1, 3) {
			t.Errorf("the file holds %q", got)
		}
	})
}

func TestASyncThatFailsEndsRunWithNothingReported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, d := openFaulty(t, dir)
	r := start(f)
	count(r.File, 1, 2)
	r.written(t, 2)
	d.set(func() { d.sync = func() error { return syscall.EIO } })
	count(r.File, 3, 4)
	err := r.ended(t)
	checkContains(t, err, "sync "+filepath.Join(dir, Name)+": input/output error")
	for got := range r.reports {
		if got.written != 0 {
			t.Errorf("line %d is reported as written", got.written)
		}
	}
	if r.Append(5); r.Last() != 4 {
		t.Errorf("after Run has failed, Append takes numbers up to %d", r.Last())
	}
	if !errors.Is(r.Ready(), syscall.EIO) {
		t.Errorf("Ready is %v", r.Ready())
	}
	if got := r.Close(t.Context()); got != err {
		t.Errorf("Close returns %v", got)
	}
	// Its lock is released, too.
	if got := mustOpen(t, dir, Options{}).Recovery(); got.Last != 4 {
		t.Errorf("a restart finds %v", got)
	}
}

func TestCloseWaitsForAFullDiskAsLongAsItMay(t *testing.T) {
	t.Parallel()
	dir := dirWith(t, "one\n")
	synctest.Test(t, func(t *testing.T) {
		f, d := openFaulty(t, dir)
		d.write = d.part(1, syscall.ENOSPC)
		r := start(f)
		count(r.File, 2, 3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close returns %v", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("Close took %v", took)
		}
		if err := r.ended(t); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Run ends with %v", err)
		}
	})
	if got := mustOpen(t, dir, Options{}).Recovery(); got.Last != 1 || got.Bad != nil || got.Cut != 0 {
		t.Errorf("a restart finds %v", got)
	}
}

func TestWhateverAWriteLeavesBehindARestartGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, Name)
	acked := int64(0)
	for range 100 {
		f, d := openFaulty(t, dir)
		if got := f.Recovery(); got.Last < acked || got.Bad != nil {
			t.Fatalf("lines up to %d were reported, and now: %v", acked, got)
		}
		last := f.Recovery().Last
		d.write = func(text []byte) (int, error) { // as if the machine stopped in it
			text = text[:rand.IntN(len(text))]
			if rand.IntN(3) == 0 {
				clear(text[len(text)/2:])
			}
			return d.File.Write(text)
		}
		d.truncate = func() error { return syscall.EIO }
		r := start(f)
		if rand.IntN(2) == 0 {
			d.set(func() { d.write, d.sync = nil, func() error { return syscall.EIO } })
		}
		count(r.File, last+1, last+5)
		if got := r.next(t); got.state == "" {
			t.Fatalf("reported %+v, want that it fails", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r.Close(ctx)
		r.ended(t)

		f = mustOpen(t, dir, Options{})
		last = f.Recovery().Last
		r = start(f)
		count(r.File, last+1, last+3)
		acked = last + 3
		r.written(t, acked)
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if lines, bad, err := Verify(path); err != nil || bad != nil || lines != acked {
		t.Errorf("%d lines, %v, %v, want %d", lines, bad, err, acked)
	}
}

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
