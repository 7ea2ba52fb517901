package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// dataSync writes the file's data to the disk.
func dataSync(file *os.File) error { return unix.Fdatasync(int(file.Fd())) }

// evict removes the file from the page cache.
func evict(file *os.File) error {
	if err := file.Sync(); err != nil { // dirty pages would stay
		return err
	}
	return unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
}
