//go:build unix

package numbersfile

import (
	"os"
	"syscall"
)

// errHeld is the cause of tryLock's error when another process holds the lock.
const errHeld = syscall.EWOULDBLOCK

// tryLock locks dir with flock. It locks the directory itself and not
// numbers.txt, which may be deleted and made anew, nor a file made for the
// purpose, which would be left behind.
func tryLock(dir string) (*os.File, error) {
	held, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		held.Close()
		return nil, &os.PathError{Op: "lock", Path: dir, Err: err}
	}
	return held, nil
}

// truncate cuts off a file that was opened for appending.
func truncate(file *os.File, size int64) error { return file.Truncate(size) }
