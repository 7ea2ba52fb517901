package numbersfile

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"counting/server/spelling"
	"counting/server/store"
)

// counted is the text of a file that holds the numbers from…to.
func counted(from, to int64) string {
	var text []byte
	for n := from; n <= to; n++ {
		text = append(spelling.Append(text, n), '\n')
	}
	return string(text)
}

// dirWith returns a data directory whose numbers.txt holds text.
func dirWith(tb testing.TB, text string) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, Name), []byte(text), 0o666); err != nil {
		tb.Fatal(err)
	}
	return dir
}

func content(tb testing.TB, path string) string {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// lockDir creates dir if needed, and returns a file that holds the lock on it.
func (o Options) lockDir(ctx context.Context, dir string) (held *os.File, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, unusable(err)
	}
	err = o.lock(ctx, "data directory "+dir, func() error {
		held, err = o.tryLockDir(dir)
		return err
	})
	return held, unusable(err)
}

// Open opens the numbers.txt of a directory of its own, which it waits for.
func Open(ctx context.Context, dir string, options Options) (*File, error) {
	options = options.defaults()
	held, err := options.lockDir(ctx, dir)
	if err != nil {
		return nil, err
	}
	f, err := open(ctx, filepath.Join(dir, Name), held, newShared(held), options)
	if err != nil {
		held.Close()
		return nil, unusable(err)
	}
	go func() {
		<-f.done
		held.Close()
	}()
	return f, nil
}

func mustOpen(tb testing.TB, dir string, options Options) *File {
	tb.Helper()
	f, err := Open(tb.Context(), dir, options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close(context.Background()) })
	return f
}

// A report is one call of one of the Callbacks.
type report struct {
	written, dropped int64
	state            string
}

// A run is a File whose Run has been started.
type run struct {
	*File
	reports chan report
	result  chan error
}

// start calls Run in a goroutine, and returns when it has begun.
func start(f *File) *run {
	r := &run{f, make(chan report, 1000), make(chan error, 1)}
	go func() {
		r.result <- f.Run(Callbacks{
			store.Callbacks{
				OnCommit: func(upTo int64, _ time.Duration) { r.reports <- report{written: upTo} },
				OnHealth: func(err error) {
					text := "works"
					if err != nil {
						text = err.Error()
					}
					r.reports <- report{state: text}
				},
			},
			func(upTo int64) { r.reports <- report{dropped: upTo} },
		})
		close(r.reports)
	}()
	for !f.started.Load() {
		runtime.Gosched()
	}
	return r
}

// next waits for the next report.
func (r *run) next(tb testing.TB) report {
	tb.Helper()
	select {
	case got, ok := <-r.reports:
		if !ok {
			tb.Fatal("Run ended without a further report")
		}
		return got
	case <-time.After(10 * time.Second):
		tb.Fatal("no report within 10 s")
	}
	panic("unreachable")
}

// written waits until the lines up to n are reported.
func (r *run) written(tb testing.TB, n int64) {
	tb.Helper()
	for r.next(tb).written < n {
	}
}

// ended waits for Run to end and returns its error.
func (r *run) ended(tb testing.TB) error {
	tb.Helper()
	select {
	case err := <-r.result:
		return err
	case <-time.After(10 * time.Second):
		tb.Fatal("Run does not end")
	}
	panic("unreachable")
}

func count(f *File, from, to int64) {
	for n := from; n <= to; n++ {
		f.Append(n)
	}
}

func checkContains(tb testing.TB, err error, want string) {
	tb.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		tb.Errorf("error is %v, want one with %q", err, want)
	}
}

// waitFor waits until done returns true.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v, still waiting for %s", patience, what)
		}
	}
}
