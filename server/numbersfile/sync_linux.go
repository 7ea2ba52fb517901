package numbersfile

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileSystemOf returns the file system of dir, which must stay open, or nil if
// syncing it would not report every failed write. Since Linux 5.8 syncfs reports
// failed writes, since 5.17 all errors. Network and layered file systems do not
// report all of them.
func fileSystemOf(dir *os.File) *fileSystem {
	var system unix.Utsname
	var fs unix.Statfs_t
	info, err := dir.Stat()
	if err != nil || unix.Uname(&system) != nil || unix.Fstatfs(int(dir.Fd()), &fs) != nil {
		return nil
	}
	known := []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC}
	if !atLeast(unix.ByteSliceToString(system.Release[:]), 5, 17) || !slices.Contains(known, int64(fs.Type)) {
		return nil
	}
	device := info.Sys().(*syscall.Stat_t).Dev
	return &fileSystem{
		sync: func() error { return unix.Syncfs(int(dir.Fd())) },
		has:  func(file os.FileInfo) bool { return file.Sys().(*syscall.Stat_t).Dev == device },
	}
}

// atLeast reports whether a release of Linux, such as 6.1.0-18-amd64, is of version
// major.minor or later.
func atLeast(release string, major, minor int) bool {
	first, rest, _ := strings.Cut(release, ".")
	second := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	a, errA := strconv.Atoi(first)
	b, errB := strconv.Atoi(second)
	return errA == nil && errB == nil && (a > major || a == major && b >= minor)
}
