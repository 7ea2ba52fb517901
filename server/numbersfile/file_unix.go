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

// lookAt tells whether the file at path is that one, and how large it is. It is
// os.Stat for what is done before each ack, and leaves nothing to collect.
func lookAt(path string, file os.FileInfo) (same bool, size int64, err error) {
	var now syscall.Stat_t
	for err = syscall.EINTR; err == syscall.EINTR; {
		err = syscall.Stat(path, &now)
	}
	if err != nil {
		return false, 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	then := file.Sys().(*syscall.Stat_t)
	return now.Dev == then.Dev && now.Ino == then.Ino, now.Size, nil
}
