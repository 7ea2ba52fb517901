package numbersfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// ErrLocked is the error of opening a file that another server has open.
var ErrLocked = errors.New("is in use by another server; stop it or use another -data directory")

const (
	// defaultLockWait is how long opening a file waits for another server to end. It is
	// longer than a server takes to stop, so that a server may be started before its
	// predecessor has ended.
	defaultLockWait = 10 * time.Second
	// lockPoll is the time between attempts to take a lock.
	lockPoll = 25 * time.Millisecond
)

// tryLockDir returns a file that holds an exclusive lock on a directory until it is closed
// or the process ends in any way. It does not wait: the error wraps errHeld if another
// process holds the lock. The original takes no lock, so it is not excluded.
func (o Options) tryLockDir(dir string) (*os.File, error) {
	held, err := openLock(dir)
	if err != nil {
		return nil, err
	}
	if err := o.flock(held); err != nil {
		held.Close()
		return nil, err
	}
	return held, nil
}

// lockFile locks numbers.txt itself while it is open: it may have names in several
// directories, or be mounted into several containers.
func (o Options) lockFile(ctx context.Context, file *os.File) error {
	return o.lock(ctx, file.Name(), func() error { return o.flock(file) })
}

// lock calls try until it does not fail with errHeld, for at most lockWait.
func (o Options) lock(ctx context.Context, what string, try func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.lockWait, ErrLocked)
	defer cancel()
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	report := o.throttled()
	for {
		switch err := try(); {
		case err == nil:
			return nil
		case !errors.Is(err, errHeld):
			return unlockable(what, err)
		}
		report(func() string { return "Waiting for another server to end: " + what + " is in use." })
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("%s %w", what, context.Cause(ctx))
		}
	}
}

// unlockable adds a hint to an error of a file system without locks.
func unlockable(what string, err error) error {
	if !lacksLocks(err) {
		return err
	}
	return fmt.Errorf("%s cannot be locked (%w): its file system does not support locks, like some network shares and shared folders; "+
		"use a -data directory on a disk of this machine", what, err)
}

// lacksLocks reports whether err is that of a file system without locks. NFS
// implements flock by locks that need a file opened for writing.
func lacksLocks(err error) bool {
	return errors.Is(err, syscall.ENOLCK) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EBADF) || errors.Is(err, errors.ErrUnsupported)
}

// syncDir syncs the names in a directory. It ignores the error of a file system that
// cannot sync directories.
func syncDir(dir interface{ Sync() error }) error {
	err := dir.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}
