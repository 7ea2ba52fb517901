//go:build unix

package numbersfile

import (
	"os"
	"syscall"
)

// errHeld is the cause of flock's error when another process holds the lock.
const errHeld = syscall.EWOULDBLOCK

// openLock opens the file whose lock stands for that of a directory: the directory
// itself, since numbers.txt may be deleted and created again, and a separate lock
// file would be left behind.
func openLock(dir string) (*os.File, error) { return os.Open(dir) }

// flock locks a file or directory until it is closed. It does not wait.
func flock(file *os.File) error {
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return &os.PathError{Op: "lock", Path: file.Name(), Err: err}
	}
	return nil
}

// truncate truncates a file that was opened for appending.
func truncate(file *os.File, size int64) error { return file.Truncate(size) }

// compareFile reports whether path names the given file, and its size. It is called
// before each ack, so it uses stat without allocating.
func compareFile(path string, file os.FileInfo) (same bool, size int64, err error) {
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
