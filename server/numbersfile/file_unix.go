//go:build unix

package numbersfile

import (
	"os"
	"syscall"
)

// errHeld is the cause of flock's error when another holds the lock.
const errHeld = syscall.EWOULDBLOCK

// openLock opens what is locked in place of a directory: the directory itself,
// as numbers.txt may be deleted and made anew, and a file made for the purpose
// would be left behind.
func openLock(dir string) (*os.File, error) { return os.Open(dir) }

// flock locks a file or directory as long as it is open. It does not wait.
func flock(file *os.File) error {
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return &os.PathError{Op: "lock", Path: file.Name(), Err: err}
	}
	return nil
}

// truncate cuts off a file that was opened for appending.
func truncate(file *os.File, size int64) error { return file.Truncate(size) }
