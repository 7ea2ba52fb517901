package results

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASectionIsReplacedAndTheRestStays(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(path, []byte("# Title\n\n<!-- results: a -->\nold\n<!-- end: a -->\n\nMore.\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, write := range [][2]string{{"a", "new\n"}, {"b", "first\n"}, {"b", "second\n"}} {
		if err := Write(path, write[0], write[1]); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	const want = "# Title\n\n<!-- results: a -->\nnew\n<!-- end: a -->\n\nMore.\n\n<!-- results: b -->\nsecond\n<!-- end: b -->\n"
	if err != nil || string(got) != want {
		t.Errorf("the file holds %q, %v, want %q", got, err, want)
	}
}

func TestATableIsWrittenWhenItsTestEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.md")
	t.Setenv(File, path)
	t.Run("a", func(t *testing.T) {
		New(t, "kills", "what", "times").Row("server | kill -9", 3)
	})
	got, err := os.ReadFile(path)
	const want = "| what | times |\n| --- | --- |\n| server \\| kill -9 | 3 |\n<!-- end: kills -->\n"
	if err != nil || !strings.HasSuffix(string(got), want) {
		t.Errorf("the file holds %q, %v, want %q at its end", got, err, want)
	}
}
