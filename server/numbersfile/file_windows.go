package numbersfile

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// errHeld is the cause of flock's error when another holds the lock.
const errHeld = windows.ERROR_LOCK_VIOLATION

// openLock opens what is locked in place of a directory, which Windows cannot
// lock: a file made for the purpose.
func openLock(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, Name+".lock"), os.O_RDWR|os.O_CREATE, 0o666)
}

// flock locks a file as long as it is open. It does not wait. What it locks is
// a byte far after the end, as nobody else may read one that is locked.
func flock(file *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	if err := windows.LockFileEx(windows.Handle(file.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30}); err != nil {
		return &os.PathError{Op: "lock", Path: file.Name(), Err: err}
	}
	return nil
}

// truncate cuts off a file that was opened for appending. A handle for
// appending may not do that on Windows, so it takes another one.
func truncate(file *os.File, size int64) error { return os.Truncate(file.Name(), size) }

// lookAt tells whether the file at path is that one, and how large it is.
func lookAt(path string, file os.FileInfo) (same bool, size int64, err error) {
	now, err := os.Stat(path)
	if err != nil {
		return false, 0, err
	}
	return os.SameFile(now, file), now.Size(), nil
}
