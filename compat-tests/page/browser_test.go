package page

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	devtools "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	browserpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"counting/compat-tests/browser"
)

// timeout is how long the page may take on a busy machine.
const timeout = 2 * time.Minute

// screenshots is the environment variable of the directory for screenshots.
const screenshots = "PAGE_SCREENSHOTS"

// page is the live page in a Chromium of its own.
type page struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	offline  bool // requests may fail, as the server is down or refuses them
	faults   []string
	requests []string

	networkChanged bool
}

// open opens the page in a browser of its own.
func open(t testing.TB, url string) *page {
	t.Helper()
	return load(t, browser.Start(t), url)
}

// load loads the page in a tab.
func load(t testing.TB, ctx context.Context, url string) *page {
	t.Helper()
	p := &page{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, p.heard)
	p.run(log.Enable(), runtime.Enable(), network.Enable(), chromedp.EmulateViewport(1280, 900))
	p.navigate(url)
	// Load the page again if some files were not loaded because the network changed.
	for p.dropped() {
		p.reload()
	}
	return p
}

// navigate loads a URL in the tab, and waits until it is loaded. A background tab may
// never finish loading, and one that was in front may have been moved to the background.
func (p *page) navigate(url string) {
	p.t.Helper()
	p.run(browserpage.BringToFront(), chromedp.ActionFunc(func(ctx context.Context) error {
		_, _, text, _, err := browserpage.Navigate(url).Do(ctx)
		if err == nil && text != "" {
			err = errors.New(text)
		}
		return err
	}))
	p.wait(url+" to be loaded", func() bool {
		var state string
		ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
		defer cancel()
		err := chromedp.Run(ctx, browserpage.BringToFront(), chromedp.Evaluate(`document.readyState`, &state))
		return err == nil && state == "complete"
	})
}

// dropped reports whether, since the last call, a file of the page was not loaded because
// the network changed.
func (p *page) dropped() bool {
	p.mu.Lock()
	changed := p.networkChanged
	p.networkChanged = false
	p.mu.Unlock()
	if !changed {
		return false
	}
	var hidden bool
	p.run(chromedp.Evaluate(`document.querySelector("main")?.hidden === true`, &hidden))
	return hidden
}

// heard records errors and requests of the page.
func (p *page) heard(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.faults = append(p.faults, e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			p.faults = append(p.faults, "the console has an entry of type "+e.Type.String())
		}
	case *log.EventEntryAdded:
		// Another test has set up a network, so that the browser drops its
		// connections. This is not an error of the page.
		if strings.Contains(e.Entry.Text, "ERR_NETWORK_CHANGED") {
			p.networkChanged = true
			return
		}
		// The browser logs each failed request, which the page cannot prevent.
		if e.Entry.Level == log.LevelError && !(p.offline && e.Entry.Source == log.SourceNetwork) {
			p.faults = append(p.faults, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	}
}

// serverAway sets whether requests may fail, as the server is down.
func (p *page) serverAway(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offline = away
}

// asked returns the URLs that the page has requested.
func (p *page) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// wellBehaved fails the test if the page had errors, or sent requests to other servers.
func (p *page) wellBehaved(url string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fault := range p.faults {
		p.t.Errorf("the browser reports: %s", fault)
	}
	for _, asked := range p.requests {
		if !strings.HasPrefix(asked, url+"/") {
			p.t.Errorf("the page requests %s", asked)
		}
	}
	if len(p.requests) < 5 {
		p.t.Errorf("the page requested only %v", p.requests)
	}
}

// run runs actions, which may take twice the timeout.
func (p *page) run(actions ...chromedp.Action) {
	p.t.Helper()
	if err := p.try(actions...); err != nil {
		p.t.Fatal(err)
	}
}

// try runs actions that may fail.
func (p *page) try(actions ...chromedp.Action) error {
	ctx, cancel := context.WithTimeout(p.ctx, 2*timeout)
	defer cancel()
	return chromedp.Run(ctx, actions...)
}

func (p *page) reload() {
	p.t.Helper()
	p.run(chromedp.Reload())
}

// text returns the text of an element, or of all that match, a line each.
func (p *page) text(selector string) string {
	p.t.Helper()
	var text string
	p.run(chromedp.Evaluate(`[...document.querySelectorAll("`+selector+`")].map((e) => e.innerText).join("\n")`, &text))
	return text
}

func (p *page) wait(what string, done func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(timeout); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.mu.Lock()
			faults := strings.Join(p.faults, "; ")
			p.mu.Unlock()
			p.t.Fatalf("waited %v for %s; the browser reports %q, and the page shows:\n%s", timeout, what, faults, p.text("body"))
		}
	}
}

// tab opens the page in a new window of the same browser. In a headless browser windows can
// be hidden, but tabs cannot.
func (p *page) tab(url string) *page {
	p.t.Helper()
	var id target.ID
	p.run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		id, err = target.CreateTarget("about:blank").WithNewWindow(true).Do(ctx)
		return err
	}))
	ctx, cancel := chromedp.NewContext(p.ctx, chromedp.WithTargetID(id))
	p.t.Cleanup(cancel)
	// The first run attaches to the tab, until its context ends.
	if err := chromedp.Run(ctx); err != nil {
		p.t.Fatal(err)
	}
	return load(p.t, ctx, url)
}

// show shows the tab's window.
func (p *page) show() {
	p.t.Helper()
	p.window(devtools.WindowStateNormal)
	p.run(browserpage.BringToFront())
}

// hide minimizes the tab's window.
func (p *page) hide() {
	p.t.Helper()
	p.window(devtools.WindowStateMinimized)
}

// window changes the state of the tab's window, and waits until the page is hidden or shown.
func (p *page) window(state devtools.WindowState) {
	p.t.Helper()
	p.run(chromedp.ActionFunc(func(ctx context.Context) error {
		id, _, err := devtools.GetWindowForTarget().Do(ctx)
		if err != nil {
			return err
		}
		return devtools.SetWindowBounds(id, &devtools.Bounds{WindowState: state}).Do(ctx)
	}))
	p.wait("the window to be "+string(state), func() bool {
		var hidden bool
		p.run(chromedp.Evaluate(`document.hidden`, &hidden))
		return hidden == (state == devtools.WindowStateMinimized)
	})
}

// freeze suspends the tab for that long, as during the sleep of a laptop, and shows it again.
func (p *page) freeze(time time.Duration) {
	p.t.Helper()
	p.run(
		browserpage.SetWebLifecycleState(browserpage.SetWebLifecycleStateStateFrozen),
		chromedp.Sleep(time),
		browserpage.SetWebLifecycleState(browserpage.SetWebLifecycleStateStateActive),
	)
	p.hide()
	p.show()
}
