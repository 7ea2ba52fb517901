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
// again, without reading the file while the page is in the page cache. Mappings with pages
// that were written are left alone: a loader has relocated them, or a debugger has set a
// breakpoint. Errors are ignored.
func unmapProgram() {
	for _, m := range programMappings() {
		if !strings.Contains(m.access, "w") && m.written == 0 {
			unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED)
		}
	}
}

// A mapping is a part of the program's file in the memory of this process.
type mapping struct {
	from, to uintptr
	access   string
	written  int // KB
}

// programMappings reads /proc/self/smaps.
func programMappings() (all []mapping) {
	program, err := os.Readlink("/proc/self/exe")
	smaps, smapsErr := os.ReadFile("/proc/self/smaps")
	if err != nil || smapsErr != nil {
		return nil
	}
	ours := false
	for line := range strings.Lines(string(smaps)) {
		key, value, _ := strings.Cut(line, ":")
		switch {
		case strings.Contains(key, "-"): // such as 00400000-00cf2000 r-xp 00000000 fe: …
			var m mapping
			fmt.Sscanf(line, "%x-%x %s", &m.from, &m.to, &m.access)
			if ours = strings.HasSuffix(line, " "+program+"\n"); ours {
				all = append(all, m)
			}
		case !ours:
		case key == "Anonymous", key == "Swap":
			var size int
			fmt.Sscan(value, &size)
			all[len(all)-1].written += size
		}
	}
	return all
}
