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
	// Progress, if it is not nil, is called with a line for people every 2 s
	// while something takes long. It must not wait.
	Progress func(string)

	// Tests put faults in.
	wrap    func(*os.File) disk
	flock   func(*os.File) error
	syncDir func(*os.File) error
}

// defaults fills in what is not set.
func (o Options) defaults() Options {
	if o.LockWait == 0 {
		o.LockWait = defaultLockWait
	}
	if o.wrap == nil {
		o.wrap = func(file *os.File) disk { return appended{file} }
	}
	if o.flock == nil {
		o.flock = flock
	}
	if o.syncDir == nil {
		o.syncDir = func(dir *os.File) error { return syncDir(dir) }
	}
	return o
}

// Reports holds the functions that Run calls: from its own goroutine, one at a
// time, in order and with no lock held. They may call Append, but not Close. The
// writing waits until they return. Any of them may be nil.
type Reports struct {
	// Written reports that the lines up to this number are in the file, and in
	// default mode on the disk; and how long the one that has waited longest has
	// waited for that. There is one call for each batch.
	Written func(upTo int64, took time.Duration)
	// Dropped reports, in faithful mode, that the lines up to this number are lost.
	// It shares one order with Written: each is about the lines after the one that
	// either named before.
	Dropped func(upTo int64, err error)
	// State reports that writing has begun to fail, or, with nil, that it works
	// again: once for each change, not for each attempt.
	State func(err error)
}

// File is an open and locked numbers.txt. Append and Ready may be called by
// any number of goroutines.
type File struct {
	recovery Recovery
	lock     *os.File // of the data directory, or nil if that is locked for all files
	writer   writer
	queue    queue
	shared   *shared

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
	options = options.defaults()
	held, err := options.lockDir(ctx, dir)
	if err != nil {
		return nil, unusable(err)
	}
	f, err := open(ctx, filepath.Join(dir, Name), held, newShared(held), options)
	if err != nil {
		held.Close()
		return nil, unusable(err)
	}
	f.lock = held
	return f, nil
}

// open opens a numbers.txt whose directory nobody else uses. dir is that
// directory.
func open(ctx context.Context, path string, dir *os.File, shared *shared, options Options) (*File, error) {
	f := newFile(shared)
	if options.Faithful {
		f.writer = faithful{path, options.flock}
		return f, nil
	}
	if err := f.openDurable(ctx, path, dir, options); err != nil {
		return nil, err
	}
	f.queue.last, f.queue.taken = f.recovery.Last, f.recovery.Last
	return f, nil
}

// newFile returns a file without a writer, in which nothing was found.
func newFile(shared *shared) *File {
	f := &File{shared: shared, hurry: make(chan struct{}), done: make(chan struct{})}
	f.giveUp = sync.OnceFunc(func() { close(f.hurry) })
	f.queue.filled.L = &f.queue.mu
	return f
}

// unusable adds a hint to an error about a path that has none of its own.
func unusable(err error) error {
	var path *os.PathError
	if !errors.As(err, &path) || lacksLocks(err) {
		return err
	}
	return fmt.Errorf("%w (-data must name a directory that this user can write to)", err)
}

func (f *File) openDurable(ctx context.Context, path string, dir *os.File, o Options) (err error) {
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
	if err := o.lockFile(ctx, file); err != nil {
		return err
	}
	d := &durable{disk: o.wrap(file), sync: f.shared.syncer(info), path: path, info: info}
	r := recovering{o, file, d.disk, dir}
	if f.recovery, d.size, err = r.recover(); err != nil {
		return err
	}
	f.recovery.Replaced = replaced
	if info.Size() > 0 {
		f.recovery.At = info.ModTime()
	}
	// A server that was killed may have left lines that are in the page cache
	// alone. From now on they count as written, so they have to be on the disk;
	// and so has the file's name, and the directory's.
	if err := file.Sync(); err != nil {
		return err
	}
	if err := o.syncDir(dir); err != nil {
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

// Last returns the number of the line that was appended last, or, at first,
// Recovery.Last.
func (f *File) Last() int64 {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	return f.queue.last
}

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

// Confirm returns nil: no other server has the file while this one is open.
func (f *File) Confirm(context.Context) error { return nil }

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
	if f.lock != nil {
		f.lock.Close()
	}
	close(f.done)
	return f.result
}

func (f *File) write(reports Reports) error {
	for {
		buffer, last, since, ok := f.queue.take(f.shared.buffer)
		if !ok {
			return nil
		}
		wait := firstRetry
		n, err := f.writer.write(*buffer, func(err error) bool {
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
		dropped := int64(bytes.Count((*buffer)[n:], []byte("\n")))
		f.shared.buffers.Put(buffer)
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
