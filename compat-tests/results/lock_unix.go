//go:build unix

package results

import (
	"os"
	"syscall"
)

// lock locks a directory until it is closed.
func lock(dir *os.File) error { return syscall.Flock(int(dir.Fd()), syscall.LOCK_EX) }
