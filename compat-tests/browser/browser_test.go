package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestABrowserThatEndsIsStartedAgain(t *testing.T) {
	program := Program(t)
	// It exits immediately the first two times.
	dir := t.TempDir()
	failing := filepath.Join(dir, "chromium")
	script := fmt.Sprintf("#!/bin/sh\nmkdir %[1]s/1 2>/dev/null && exit 1\nmkdir %[1]s/2 2>/dev/null && exit 1\nexec %[2]s \"$@\"\n", dir, program)
	if err := os.WriteFile(failing, []byte(script), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CHROMIUM", failing)
	var sum int
	if err := chromedp.Run(Start(t), chromedp.Evaluate("1+1", &sum)); err != nil || sum != 2 {
		t.Errorf("the browser evaluates 1+1 as %d, %v", sum, err)
	}
}
