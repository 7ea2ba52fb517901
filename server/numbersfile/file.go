// Package numbersfile owns numbers.txt: it alone opens, recovers and writes it.
//
// In the default mode the file is at every moment one, two, three, … without a
// gap, and a line that is reported as written is on the disk. In faithful mode
// lines are appended as the original does it: see [Options].
//
// It needs a file system that has locks: flock for directories, or Windows'.
package numbersfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Name is the file's name within the data directory.
const Name = "numbers.txt"

const (
	// firstRetry and lastRetry are the waits between attempts to write to a
	// full disk: each is twice the one before.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// Options are for Open. The zero Options are the default mode.
type Options struct {
	// Faithful appends as the original server does: what is in the file is not
	// read, each batch opens the file, makes it if need be, appends and
	// closes, nothing is synced, and lines that cannot be written are dropped.
	Faithful bool
	// LockWait is how long Open waits for another server to end; 0 is 10 s.
	LockWait time.Duration

	wrap func(*os.File) disk // tests put faults in
}

// Reports are what Run tells. It calls them from its own goroutine, one at a
// time, in order and with no lock held: they may call Append, but not Close.
// They hold up the writing. Any of them may be nil.
//
// Written and Dropped share one order: each speaks of the lines behind the one
// that either named before.
type Reports struct {
	// Written says that the lines up to this number are in the file, and in
	// the default mode on the disk; and how long the one that has waited
	// longest has waited for that. There is one call for each batch.
	Written func(upTo int64, took time.Duration)
	// Dropped says that the lines up to this number are lost. It is called in
	// faithful mode only.
	Dropped func(upTo int64, err error)
	// State says that writing has begun to fail, or, with nil, that it works
	// again: once for each change, not for each attempt.
	State func(err error)
}

// File is an open and locked numbers.txt. Append and Ready may be called by
// any number of goroutines.
type File struct {
	recovery Recovery
	lock     *os.File
	writer   writer
	queue    queue

	started atomic.Bool   // by Run, or by Close in its place
	hurry   chan struct{} // closed when Close does not wait any longer
	giveUp  func()        // closes it
	done    chan struct{} // closed when all is released
	result  error         // of Run; to be read once done is closed

	mu    sync.Mutex
	state error
}

// Open makes dir if needed, takes its lock and makes sure of what is in the
// file: see [Recovery]. The caller must Close it, whether it calls Run or not.
//
// The error is ErrLocked, wrapped, if another server holds the lock for all of
// LockWait, the cause of ctx if that ends before, and else it names the path
// that could not be used.
func Open(ctx context.Context, dir string, options Options) (*File, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, unusable(err)
	}
	wait := options.LockWait
	if wait == 0 {
		wait = defaultLockWait
	}
	held, err := lock(ctx, dir, wait)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = unusable(err)
		}
		return nil, err
	}
	f := &File{
		lock:  held,
		hurry: make(chan struct{}),
		done:  make(chan struct{}),
	}
	f.giveUp = sync.OnceFunc(func() { close(f.hurry) })
	f.queue.filled.L = &f.queue.mu
	path := filepath.Join(dir, Name)
	if options.Faithful {
		f.writer = faithful{path}
		return f, nil
	}
	if err := f.openDurable(path, options.wrap); err != nil {
		held.Close()
		return nil, unusable(err)
	}
	f.queue.last, f.queue.taken = f.recovery.Last, f.recovery.Last
	return f, nil
}

func unusable(err error) error {
	return fmt.Errorf("%w (-data must name a directory that this user can write to)", err)
}

func (f *File) openDurable(path string, wrap func(*os.File) disk) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	replaced := errors.Is(err, fs.ErrPermission) && takeOver(path) == nil
	if replaced {
		file, err = os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &os.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	d := &durable{disk: appended{file}, path: path, info: info}
	if wrap != nil {
		d.disk = wrap(file)
	}
	if f.recovery, d.size, err = recoverFile(file); err != nil {
		return err
	}
	f.recovery.Replaced = replaced
	// A server that was killed may have left lines that are in the page cache
	// alone. From now on they count as written, so they have to be on the disk;
	// and so has the file's name, and the directory's.
	if err := file.Sync(); err != nil {
		return err
	}
	if err := f.lock.Sync(); err != nil {
		return err
	}
	if parent, err := os.Open(filepath.Dir(filepath.Dir(path))); err == nil {
		_ = parent.Sync() // best effort: it need not be ours
		parent.Close()
	}
	f.writer = d
	return nil
}

// Recovery returns what Open found and did.
func (f *File) Recovery() Recovery { return f.recovery }

// Append queues the spellings of all numbers up to that one, in the default
// mode, from the one on that follows the last Append or, at first,
// Recovery.Last. The number of a line is what it spells. It never waits for the
// disk, and panics if the numbers are queued already.
//
// Once Close was called, or Run has failed, it does nothing.
func (f *File) Append(upTo int64) { f.queue.addUpTo(upTo) }

// AppendLine queues a line, which has no newline, in faithful mode. Lines are
// numbered from 1 on. It never waits for the disk and does not bound the queue.
//
// Once Close was called, or Run has failed, it does nothing.
func (f *File) AppendLine(line string) { f.queue.addLine(line) }

// Ready returns nil if the last write went well, and else its error.
func (f *File) Ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Run writes what is appended until Close is called: all that waits in one
// write, then one sync, then one call of Written. It may be called once.
//
// A write that fails, as on a full disk, is undone and tried again until it
// goes through or Close gives up. The other errors end Run, and what was not
// reported by then never will be: of the sync, after which nobody knows what
// is on the disk, and ErrChanged, wrapped. The caller should end the process:
// the next start reads what is really there.
func (f *File) Run(reports Reports) error {
	if f.started.Swap(true) {
		return errors.New("numbers file: run twice, or closed")
	}
	return f.run(reports)
}

func (f *File) run(reports Reports) error {
	f.result = f.write(reports)
	f.queue.close()
	f.writer.Close()
	f.lock.Close()
	close(f.done)
	return f.result
}

func (f *File) write(reports Reports) error {
	var text []byte
	for {
		var last int64
		var since time.Time
		var ok bool
		if text, last, since, ok = f.queue.take(text); !ok {
			return nil
		}
		wait := firstRetry
		n, err := f.writer.write(text, func(err error) bool {
			f.setState(err, reports)
			select {
			case <-time.After(wait):
				wait = min(2*wait, lastRetry)
				return true
			case <-f.hurry:
				return false
			}
		})
		f.setState(err, reports)
		dropped := int64(bytes.Count(text[n:], []byte("\n")))
		if n > 0 && reports.Written != nil {
			reports.Written(last-dropped, time.Since(since))
		}
		if err == nil {
			continue
		}
		if _, goesOn := f.writer.(faithful); !goesOn {
			return err
		}
		if dropped > 0 && reports.Dropped != nil {
			reports.Dropped(last, err)
		}
	}
}

// setState reports a change from working to failing or back.
func (f *File) setState(err error, reports Reports) {
	f.mu.Lock()
	changed := (f.state == nil) != (err == nil)
	f.state = err
	f.mu.Unlock()
	if changed && reports.State != nil {
		reports.State(err)
	}
}

// Close has what waits written and synced, by Run or, if that was never called,
// by itself with nothing reported. Then it releases the lock. It returns the
// error that Run returns; or that of ctx if it ends before, with lines left
// unwritten. It may be called more than once.
func (f *File) Close(ctx context.Context) error {
	f.queue.close()
	if !f.started.Swap(true) {
		go f.run(Reports{})
	}
	select {
	case <-f.done:
		return f.result
	case <-ctx.Done():
		f.giveUp()
		return fmt.Errorf("close the numbers file with lines unwritten: %w", context.Cause(ctx))
	}
}
