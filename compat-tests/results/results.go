// Package results lets tests and benchmarks write what they measured into a
// Markdown file, each its own section, so that no table there is typed by hand.
//
// A section stands between two marks, which are comments in Markdown:
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

// File is the environment variable that names the file. Without it, tests log
// their tables and write nothing, so that a test run leaves the checkout clean.
const File = "RESULTS"

// Table is a section that a test fills row by row, from any goroutine.
type Table struct {
	section string
	mu      sync.Mutex
	lines   []string
}

// New starts the section's table with these column heads. When the test ends
// the table is logged, and, unless the test has failed, put into the file.
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

// Row adds a row. The cells are printed as fmt.Sprint does.
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

// Stamp says when and on what something was measured.
func Stamp() string {
	return fmt.Sprintf("%s, %s, %s/%s, %d cores.", time.Now().UTC().Format("2006-01-02"), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}

// Write puts the text in the place of what the file holds between the section's
// marks. Where it has no such marks, they are added at its end. Processes that
// write at the same time wait for each other.
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
