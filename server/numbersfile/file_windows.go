package numbersfile

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// errHeld is the cause of tryLock's error when another process holds the lock.
const errHeld = windows.ERROR_LOCK_VIOLATION

// tryLock locks a file in dir that is made for the purpose: Windows locks no
// directories, and who locks numbers.txt keeps everybody from reading it.
func tryLock(dir string) (*os.File, error) {
	path := filepath.Join(dir, Name+".lock")
	held, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	if err := windows.LockFileEx(windows.Handle(held.Fd()), flags, 0, 1, 0, new(windows.Overlapped)); err != nil {
		held.Close()
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return held, nil
}

// truncate cuts off a file that was opened for appending. A handle for
// appending may not do that on Windows, so it takes another one.
func truncate(file *os.File, size int64) error { return os.Truncate(file.Name(), size) }
