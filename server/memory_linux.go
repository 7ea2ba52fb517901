package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// unmapProgram takes the pages of the program's file out of the memory of this process.
// The kernel maps 64 KB around each address that is used, so that after the start most of
// the program is mapped although it is hardly used again. A page that is used is mapped
// again, without reading the file while the page is in the page cache. Errors are ignored.
func unmapProgram() {
	program, _ := os.Readlink("/proc/self/exe")
	maps, _ := os.ReadFile("/proc/self/maps")
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		var access string
		fmt.Sscanf(line, "%x-%x %s", &from, &to, &access)
		if strings.HasSuffix(line, " "+program+"\n") && !strings.Contains(access, "w") {
			unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}
