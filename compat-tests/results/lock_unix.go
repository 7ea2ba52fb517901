//go:build unix

package results

import (
	"os"
	"syscall"
)

// lock waits until no other process has the directory locked. Closing it unlocks it.
func lock(dir *os.File) error { return syscall.Flock(int(dir.Fd()), syscall.LOCK_EX) }
