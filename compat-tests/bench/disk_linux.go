package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// dataSync returns when what was written to the file is on the disk.
func dataSync(file *os.File) error { return unix.Fdatasync(int(file.Fd())) }

// evict takes the file out of the page cache, as far as nobody has it mapped.
func evict(file *os.File) error {
	if err := file.Sync(); err != nil { // what is not on the disk would stay
		return err
	}
	return unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
}
