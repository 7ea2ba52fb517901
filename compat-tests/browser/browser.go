// Package browser starts a Chromium for tests.
package browser

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"counting/compat-tests/subject"
)

// patience is how long a browser may take to start, or to end, on a busy machine.
const patience = 2 * time.Minute

// starts is how often a browser is started that ends before it listens, as one
// does now and then on a busy machine.
const starts = 3

// Start starts a browser and returns a context of its first tab for chromedp. The
// browser ends with the test, and all that it wrote is removed. Start skips the
// test if it is to do without a browser.
func Start(t testing.TB) context.Context {
	t.Helper()
	program := Program(t)
	for attempt := 1; ; attempt++ {
		ctx, cancel := chromedp.NewExecAllocator(context.Background(),
			chromedp.ExecPath(program),
			chromedp.UserDataDir(profile(t)),
			chromedp.Headless,
			chromedp.NoSandbox, // which root, as in a container, cannot have
			chromedp.DisableGPU,
			chromedp.NoFirstRun,
			chromedp.Flag("disable-quic", true),
			chromedp.Flag("disable-background-networking", true),
			chromedp.Flag("disable-component-update", true),
			chromedp.Flag("disable-sync", true),
			chromedp.Flag("disable-dev-shm-usage", true),
			chromedp.WSURLReadTimeout(patience),
		)
		t.Cleanup(cancel)
		ctx, cancel = chromedp.NewContext(ctx)
		t.Cleanup(cancel)
		// The first run starts the browser.
		err := chromedp.Run(ctx)
		if err == nil {
			return ctx
		}
		if attempt == starts {
			t.Fatalf("%s did not start in %d attempts: %v", program, attempt, err)
		}
		t.Logf("%s is started again: %v", program, err)
	}
}

// Program returns the path of the browser. CHROMIUM may name one. Program skips
// the test if it is to do without a browser.
func Program(t testing.TB) string {
	t.Helper()
	subject.Need(t, subject.ChromiumProgram)
	// Debian's chromium-headless-shell is a script that starts the browser, and
	// leaves it behind when it is killed.
	const headlessShell = "/usr/lib/chromium/chromium-headless-shell"
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", headlessShell, "chromium-headless-shell", "google-chrome"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	t.Fatal("Chromium is missing: run compat-tests/setup, or name one in the environment as CHROMIUM")
	return ""
}

// profile returns a directory that is removed when the browser is gone, and
// with it the last of its processes that writes there.
func profile(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "counting-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for deadline := time.Now().Add(patience); os.RemoveAll(dir) != nil; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("the browser still writes to %s", dir)
				return
			}
		}
	})
	return dir
}
