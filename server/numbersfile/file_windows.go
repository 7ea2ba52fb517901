package numbersfile

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// errHeld is the cause of flock's error when another process holds the lock.
const errHeld = windows.ERROR_LOCK_VIOLATION

// openLock opens the file whose lock stands for that of a directory, which Windows
// cannot lock: a separate lock file.
func openLock(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, Name+".lock"), os.O_RDWR|os.O_CREATE, 0o666)
}

// flock locks a file until it is closed. It does not wait. It locks a byte far after
// the end, since other processes cannot read locked bytes.
func flock(file *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	if err := windows.LockFileEx(windows.Handle(file.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30}); err != nil {
		return &os.PathError{Op: "lock", Path: file.Name(), Err: err}
	}
	return nil
}

// truncate truncates a file that was opened for appending. On Windows a handle for
// appending cannot do that, so another one is opened.
func truncate(file *os.File, size int64) error { return os.Truncate(file.Name(), size) }

// compareFile reports whether path names the given file, and its size.
func compareFile(path string, file os.FileInfo) (same bool, size int64, err error) {
	now, err := os.Stat(path)
	if err != nil {
		return false, 0, err
	}
	return os.SameFile(now, file), now.Size(), nil
}
