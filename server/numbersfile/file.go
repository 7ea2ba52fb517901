// Package numbersfile owns numbers.txt: it alone opens, recovers and writes it.
//
// In the default mode the file holds one, two, three, … without a gap at all
// times, and a line that is reported as written is on the disk. In faithful mode
// lines are appended as the original appends them: see [Options].
//
// The file system must support locks: flock on directories, or those of Windows.
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

	"counting/server/store"
)

// Name is the file's name within the data directory.
const Name = "numbers.txt"

const (
	// firstRetry and lastRetry are the waits between attempts to write to a
	// full disk: each is twice the one before.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// Options configure OpenShared. The zero value selects the default mode.
type Options struct {
	// Faithful appends as the original server does: the existing content is not
	// read; each batch opens the file, creates it if needed, appends and closes
	// it; nothing is synced; and lines that cannot be written are dropped.
	Faithful bool
	// Progress, if non-nil, is called with a readable line every 2 s during a
	// long operation. It must not block.
	Progress func(string)

	// Replaced by tests, for instance to inject faults.
	lockWait time.Duration // how long opening a file waits for another server to end
	wrap     func(*os.File) disk
	flock    func(*os.File) error
	syncDir  func(*os.File) error
}

// defaults sets the fields that are zero.
func (o Options) defaults() Options {
	if o.lockWait == 0 {
		o.lockWait = defaultLockWait
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

// Callbacks are those of store.Callbacks, and one for faithful mode, in which lines are
// not synced. Writing blocks until they return.
type Callbacks struct {
	store.Callbacks
	// OnDrop, if non-nil, is called in faithful mode: the lines up to upTo are lost. It
	// shares one order with OnCommit: each call is about the lines after the upTo of
	// the last call of either.
	OnDrop func(upTo int64)
}

// File is an open and locked numbers.txt. Append and Ready may be called by
// any number of goroutines.
type File struct {
	recovery Recovery
	writer   writer
	queue    queue
	shared   *shared

	started   atomic.Bool // by Run, or by Close in its place
	callbacks Callbacks   // of Run

	aborted chan struct{} // closed when Close no longer waits
	abort   func()        // closes aborted
	done    chan struct{} // closed when everything is released
	result  error         // of Run; valid once done is closed

	mu    sync.Mutex
	state error
}

// open opens the numbers.txt at path, and checks and repairs it: see [Recovery]. dir is
// its directory, which is locked. The caller must Close the file, whether it calls Run or
// not.
//
// The error wraps ErrLocked if another server has the file open for all of lockWait, or
// the cause of ctx if ctx ends before. Any other error names the path that could not be
// used.
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

// newFile returns a File without a writer and with an empty Recovery.
func newFile(shared *shared) *File {
	f := &File{shared: shared, aborted: make(chan struct{}), done: make(chan struct{})}
	f.abort = sync.OnceFunc(func() { close(f.aborted) })
	return f
}

// unusable adds a hint to an error about a path, unless it has a hint already.
func unusable(err error) error {
	var path *os.PathError
	if !errors.As(err, &path) || lacksLocks(err) {
		return err
	}
	return fmt.Errorf("%w (-data must name a directory that this user can write to)", err)
}

func (f *File) openDurable(ctx context.Context, path string, dir *os.File, o Options) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	replaced := errors.Is(err, fs.ErrPermission) && replaceWithCopy(path) == nil
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
	// A server that was killed may have left lines that are only in the page cache.
	// They count as written from now on, so they must be on the disk, as must the
	// names of the file and of its directory.
	if err := file.Sync(); err != nil {
		return err
	}
	if err := o.syncDir(dir); err != nil {
		return err
	}
	if parent, err := os.Open(filepath.Dir(filepath.Dir(path))); err == nil {
		_ = parent.Sync() // best effort: it may belong to somebody else
		parent.Close()
	}
	f.writer = d
	return nil
}

// Recovery returns what was found when the file was opened, and how it was repaired.
func (f *File) Recovery() Recovery { return f.recovery }

// Last returns the number of the line that was appended last, initially
// Recovery.Last.
func (f *File) Last() int64 {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	return f.queue.last
}

// Append queues the spellings of all numbers after Last up to upTo, in the default
// mode. Line n spells n. It never waits for the disk, and panics if upTo is not
// greater than Last.
//
// After Close was called or Run has failed, it does nothing.
func (f *File) Append(upTo int64) { f.queue.addUpTo(upTo) }

// AppendLine queues a line, without a newline, in faithful mode. Lines are
// numbered from 1. It never waits for the disk; the queue is not bounded.
//
// After Close was called or Run has failed, it does nothing.
func (f *File) AppendLine(line string) { f.queue.addLine(line) }

// Ready returns nil if the last write succeeded, and otherwise its error.
func (f *File) Ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Confirm returns nil: no other server has the file while this one is open.
func (f *File) Confirm(context.Context) error { return nil }

// Run writes what is appended until Close is called: everything queued in one
// write, then one sync, then one call of OnCommit. A write may wait for a millisecond or
// two for numbers that clients are expected to send. It may be called once.
//
// A write that fails, for instance on a full disk, is undone and retried until it
// succeeds or the context of Close ends. Other errors end Run, and lines that were
// not reported by then never are: a failed sync, after which it is unknown what
// is on the disk, and ErrChanged, wrapped. The caller should end the process; the
// next start reads what the file holds.
func (f *File) Run(callbacks Callbacks) error {
	if f.started.Swap(true) {
		return errors.New("numbers file: run twice, or closed")
	}
	f.callbacks = callbacks
	f.queue.start(f.write)
	<-f.done
	return f.result
}

// write writes what is queued. It ends the file if the queue is closed or an error is final.
func (f *File) write() {
	wait := firstRetry
	retry := func(err error) bool {
		f.setState(err)
		select {
		case <-time.After(wait):
			wait = min(2*wait, lastRetry)
			return true
		case <-f.aborted:
			return false
		}
	}
	for {
		buffer, last, since, closed := f.queue.take(f.shared.buffer)
		if closed {
			f.end(nil)
		}
		if buffer == nil {
			return
		}
		wait = firstRetry
		began := time.Now()
		n, err := f.writer.write(*buffer, retry)
		if !f.shared.busy() { // otherwise numbers gather while other files are synced
			f.queue.wrote(time.Since(began))
		}
		f.setState(err)
		dropped := int64(bytes.Count((*buffer)[n:], []byte("\n")))
		f.shared.buffers.Put(buffer)
		if n > 0 && f.callbacks.OnCommit != nil {
			f.callbacks.OnCommit(last-dropped, time.Since(since))
		}
		if err == nil {
			continue
		}
		if _, continues := f.writer.(faithful); !continues {
			f.end(err)
			return
		}
		if f.callbacks.OnDrop != nil {
			f.callbacks.OnDrop(last)
		}
	}
}

// end releases everything, after the last write.
func (f *File) end(err error) {
	f.result = err
	f.queue.close()
	f.writer.Close()
	close(f.done)
}

// setState calls OnHealth if err changes the state from working to failing or back.
func (f *File) setState(err error) {
	f.mu.Lock()
	changed := (f.state == nil) != (err == nil)
	f.state = err
	f.mu.Unlock()
	if changed && f.callbacks.OnHealth != nil {
		f.callbacks.OnHealth(err)
	}
}

// Close waits until everything queued is written and synced, by Run or, if Run was
// never called, without callbacks. Then it releases the lock. It returns the error
// that Run returns, or the error of ctx if that ends before, with lines left
// unwritten. It may be called more than once.
func (f *File) Close(ctx context.Context) error {
	f.queue.close()
	if !f.started.Swap(true) {
		f.queue.start(f.write)
	}
	select {
	case <-f.done:
		return f.result
	case <-ctx.Done():
		f.abort()
		return fmt.Errorf("close the numbers file with lines unwritten: %w", context.Cause(ctx))
	}
}
