package numbersfile

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestAtLeast(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]bool{
		"5.17":           true,
		"5.17.0-rc1":     true,
		"5.18.3":         true,
		"6.1.0-18-amd64": true,
		"6.0":            true,
		"10.20":          true,
		"5.16.20":        false,
		"5.9":            false,
		"4.20.17":        false,
		"4.17":           false,
		"5":              false,
		"7":              false,
		"5.x":            false,
		"7.x":            false,
		"x.17":           false,
		"x.99":           false,
		"":               false,
	} {
		if got := atLeast(release, 5, 17); got != want {
			t.Errorf("%q is at least 5.17: %t", release, got)
		}
	}
}

// A file system that is not known to report all failed writes, and a directory that is
// closed, are not synced as a whole.
func TestFileSystemOf(t *testing.T) {
	t.Parallel()
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	if fileSystemOf(proc) != nil {
		t.Error("/proc is synced as a whole")
	}
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	fs := fileSystemOf(dir)
	if want := reportsFaults(t, dir.Name()); (fs != nil) != want {
		t.Errorf("it is synced as a whole is %v, want %v", fs != nil, want)
	}
	if fs != nil { // on most machines
		inside, err := dir.Stat()
		if err != nil {
			t.Fatal(err)
		}
		outside, err := proc.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if !fs.has(inside) || fs.has(outside) {
			t.Errorf("it has its own directory: %t, and /proc: %t", fs.has(inside), fs.has(outside))
		}
		if err := fs.sync(); err != nil {
			t.Error(err)
		}
	}
	dir.Close()
	if fileSystemOf(dir) != nil {
		t.Error("a closed directory has a file system")
	}
}

// reportsFaults reports whether dir is on a file system of which all failed writes are
// reported, as its name and the kernel's release say.
func reportsFaults(t *testing.T, dir string) bool {
	t.Helper()
	name, err := exec.Command("stat", "-f", "-c", "%T", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains([]string{"ext2/ext3", "xfs", "btrfs"}, strings.TrimSpace(string(name))) && atLeast(string(release), 5, 17)
}
