package numbersfile

import (
	"os"
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
	if fs := fileSystemOf(dir); fs != nil { // on most machines
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
