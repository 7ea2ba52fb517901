// Package browser starts a Chromium for tests.
package browser

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"counting/compat-tests/harness"
)

// timeout is how long a browser may take to start, or to end, on a busy machine.
const timeout = 2 * time.Minute

// maxStarts is how often a browser is started: on a busy machine it sometimes ends
// before it listens.
const maxStarts = 3

// Start starts a browser and returns the chromedp context of its first tab. The browser
// ends with the test, and its files are removed. Start skips the test if WITHOUT names
// Chromium.
func Start(t testing.TB) context.Context {
	t.Helper()
	program := Program(t)
	for attempt := 1; ; attempt++ {
		ctx, cancel := chromedp.NewExecAllocator(context.Background(),
			chromedp.ExecPath(program),
			chromedp.UserDataDir(profile(t)),
			chromedp.Headless,
			chromedp.NoSandbox, // root, as in a container, cannot use the sandbox
			chromedp.DisableGPU,
			chromedp.NoFirstRun,
			chromedp.Flag("disable-quic", true),
			chromedp.Flag("disable-background-networking", true),
			chromedp.Flag("disable-component-update", true),
			chromedp.Flag("disable-sync", true),
			chromedp.Flag("disable-dev-shm-usage", true),
			chromedp.WSURLReadTimeout(timeout),
		)
		t.Cleanup(cancel)
		ctx, cancel = chromedp.NewContext(ctx)
		t.Cleanup(cancel)
		// The first run starts the browser.
		err := chromedp.Run(ctx)
		if err == nil {
			return ctx
		}
		if attempt == maxStarts {
			t.Fatalf("%s did not start in %d attempts: %v", program, attempt, err)
		}
		t.Logf("starting %s again: %v", program, err)
	}
}

// Program returns the path of the browser, which CHROMIUM may name. It skips the test if
// WITHOUT names Chromium.
func Program(t testing.TB) string {
	t.Helper()
	harness.Need(t, harness.ChromiumProgram)
	// Debian's chromium-headless-shell is a script that starts the browser; killing
	// the script does not end the browser.
	const headlessShell = "/usr/lib/chromium/chromium-headless-shell"
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", headlessShell, "chromium-headless-shell", "google-chrome"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	t.Fatal("Chromium is missing: run compat-tests/setup, or set CHROMIUM to its path")
	return ""
}

// profile returns a directory that is removed when all processes of the browser have
// ended.
func profile(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "counting-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for deadline := time.Now().Add(timeout); os.RemoveAll(dir) != nil; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("the browser still writes to %s", dir)
				return
			}
		}
	})
	return dir
}
