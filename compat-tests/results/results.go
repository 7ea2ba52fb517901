// Package results writes what tests and benchmarks have measured into a Markdown file,
// each into a section of its own.
//
// A section is enclosed by two Markdown comments:
//
//	<!-- results: chaos -->
//	| fault | times |
//	…
//	<!-- end: chaos -->
package results

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// File is the environment variable that names the file. If it is not set, tests log
// their tables and do not write a file.
const File = "RESULTS"

// Table is the table of a section. Its methods may be called concurrently.
type Table struct {
	section string
	mu      sync.Mutex
	lines   []string
}

// New returns a table with these column heads. When the test ends, the table is logged
// and, unless the test has failed, written into the file.
func New(t testing.TB, section string, heads ...string) *Table {
	table := &Table{section: section, lines: []string{row(heads), "|" + strings.Repeat(" --- |", len(heads))}}
	t.Cleanup(func() {
		table.mu.Lock()
		defer table.mu.Unlock()
		text := strings.Join(table.lines, "\n") + "\n"
		t.Logf("%s:\n%s", section, text)
		path := os.Getenv(File)
		if path == "" || t.Failed() {
			return
		}
		if err := Write(path, section, Stamp()+"\n\n"+text); err != nil {
			t.Error(err)
		}
	})
	return table
}

// Row adds a row. The cells are formatted by fmt.Sprint.
func (t *Table) Row(cells ...any) {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = fmt.Sprint(cell)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, row(texts))
}

func row(cells []string) string {
	for i, cell := range cells {
		cells[i] = strings.ReplaceAll(strings.ReplaceAll(cell, "|", `\|`), "\n", " ")
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

// Stamp returns the date, and the Go version and machine of a measurement.
func Stamp() string {
	return fmt.Sprintf("%s, %s, %s/%s, %d cores.", time.Now().UTC().Format("2006-01-02"), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}

// Write replaces the text of a section in the file. If the file has no such section, it
// is added at the end. On Unix, Write may be called by several processes at the same
// time.
func Write(path, section, text string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := lock(dir); err != nil {
		return fmt.Errorf("lock %s: %w", dir.Name(), err)
	}
	old, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.WriteFile(path, []byte(replace(string(old), section, text)), 0o666)
}

func replace(old, section, text string) string {
	begin, end := "<!-- results: "+section+" -->\n", "<!-- end: "+section+" -->"
	before, rest, found := strings.Cut(old, begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return old + "\n" + begin + text + end + "\n"
	}
	return before + begin + text + end + after
}
