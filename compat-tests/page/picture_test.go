package page

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"counting/compat-tests/harness"
)

// A look is a size and color scheme of the page.
type look struct {
	name          string
	width, height int64
	display       bool
	axe           bool // whether axe checks it: in each layout and color scheme
	features      []*emulation.MediaFeature
}

func feature(name, value string) *emulation.MediaFeature {
	return &emulation.MediaFeature{Name: name, Value: value}
}

var looks = []look{
	{"laptop-light", 1366, 768, false, true, nil},
	{"laptop-dark", 1366, 768, false, true, []*emulation.MediaFeature{feature("prefers-color-scheme", "dark")}},
	{"laptop-forced", 1366, 768, false, false, []*emulation.MediaFeature{feature("forced-colors", "active"), feature("prefers-reduced-motion", "reduce")}},
	{"phone-light", 390, 844, false, true, nil},
	{"phone-dark", 390, 844, false, false, []*emulation.MediaFeature{feature("prefers-color-scheme", "dark")}},
	{"1080p-light", 1920, 1080, true, true, nil},
	{"1080p-dark", 1920, 1080, true, true, []*emulation.MediaFeature{feature("prefers-color-scheme", "dark")}},
	{"1080p-forced", 1920, 1080, true, false, []*emulation.MediaFeature{feature("forced-colors", "active")}},
	{"4k-light", 3840, 2160, true, false, nil},
}

// shot checks the page in each look: it has no violations that axe finds (for all looks in a
// soak), is not wider than the window, and on a display does not scroll and can be read
// from a distance. It writes screenshots if PAGE_SCREENSHOTS is set.
func (p *page) shot(name string) {
	p.t.Helper()
	dir := os.Getenv(screenshots)
	for _, l := range looks {
		p.look(l)
		p.fits(name+", "+l.name, l)
		if l.axe || harness.Soak() {
			p.axe(name + ", " + l.name)
		}
		if dir == "" {
			continue
		}
		var picture []byte
		p.run(chromedp.FullScreenshot(&picture, 100))
		if err := os.WriteFile(filepath.Join(dir, name+"-"+l.name+".png"), picture, 0o666); err != nil {
			p.t.Fatal(err)
		}
	}
	p.look(looks[0])
}

func (p *page) look(l look) {
	p.t.Helper()
	features := append([]*emulation.MediaFeature{feature("prefers-color-scheme", "light"), feature("forced-colors", "none"), feature("prefers-reduced-motion", "no-preference")}, l.features...)
	p.run(
		emulation.SetEmulatedMedia().WithFeatures(features),
		chromedp.EmulateViewport(l.width, l.height),
		chromedp.Evaluate(fmt.Sprintf(`document.body.classList.toggle("display", %v); new Promise((r) => setTimeout(r, 400))`, l.display), nil, awaited),
	)
}

func awaited(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// axe fails the test for each violation of the accessibility rules.
func (p *page) axe(where string) {
	p.t.Helper()
	script, err := os.ReadFile("../javascript/node_modules/axe-core/axe.min.js")
	if err != nil {
		p.t.Fatalf("%v: run compat-tests/setup", err)
	}
	var violations []string
	p.run(
		chromedp.Evaluate(`if (!window.axe) {`+string(script)+"\n}", nil),
		chromedp.Evaluate(`axe.run({resultTypes: ['violations']}).then((r) => r.violations.flatMap((v) => v.nodes.map((n) => v.id + ': ' + n.target + ': ' + n.failureSummary)))`, &violations, awaited),
	)
	for _, v := range violations {
		p.t.Errorf("%s: axe says %s", where, v)
	}
}

// readable are the elements that must be readable from the back of a room, and arcMinutes is
// the least height of a capital letter there.
var (
	readable = []string{"#headline-text", "#number", "#tally-text", "#tally-last", ".band-label", ".row-gap", ".seat-state", ".seat-next",
		".tile h2", ".tile-number span", ".tile-state"}
	arcMinutes = 16.0
)

// fits fails the test if the page is wider than the window, if important elements are
// invisible with forced colors, or, on a display, if the page scrolls, text is cut off, or
// text is too small at a distance of 6 m from a display of 2 m width.
func (p *page) fits(where string, l look) {
	p.t.Helper()
	var faults []string
	p.run(chromedp.Evaluate(fmt.Sprintf(`(() => {
		const faults = [];
		const root = document.documentElement;
		const canvas = getComputedStyle(document.body).backgroundColor;
		if (matchMedia('(forced-colors: active)').matches) for (const e of document.querySelectorAll('.shape, #lane-track .span')) {
			const style = getComputedStyle(e);
			if (e.getBoundingClientRect().height && style.backgroundColor === canvas && style.backgroundImage === 'none' && style.boxShadow === 'none') {
				faults.push(e.className + ' cannot be seen');
				break;
			}
		}
		if (root.scrollWidth > innerWidth) faults.push('the page is ' + root.scrollWidth + ' px wide in a window of ' + innerWidth);
		if (!%v) return faults;
		if (root.scrollHeight > innerHeight) faults.push('the page is ' + root.scrollHeight + ' px high in a window of ' + innerHeight);
		for (const e of document.querySelectorAll('header, section, #headline, #counted, #start, #facts, #tally-text, .seat, .seat-state, .tile')) {
			const box = e.getBoundingClientRect();
			if (!box.height || getComputedStyle(e).position === 'absolute') continue;
			const name = e.id || e.className;
			if (box.bottom > innerHeight + 1 || box.right > innerWidth + 1 || box.top < -1) faults.push(name + ' is not in the window');
			if (e.scrollHeight > e.clientHeight + 3 && getComputedStyle(e).display !== 'inline') faults.push(name + ' is cut off: ' + e.scrollHeight + ' px in ' + e.clientHeight);
		}
		const context = document.createElement('canvas').getContext('2d');
		for (const selector of %q.split('|')) for (const e of document.querySelectorAll(selector)) {
			if (!e.textContent.trim() || !e.getBoundingClientRect().height) continue;
			const style = getComputedStyle(e);
			context.font = style.fontWeight + ' ' + style.fontSize + ' ' + style.fontFamily;
			const capital = context.measureText('H').actualBoundingBoxAscent;
			const minutes = Math.atan(capital / innerWidth * 2 / 6) * 180 / Math.PI * 60;
			if (minutes < %g) faults.push(selector + ' "' + e.textContent + '" has ' + minutes.toFixed(1) + ' arc minutes');
		}
		return faults;
	})()`, l.display, strings.Join(readable, "|"), arcMinutes), &faults))
	for _, f := range faults {
		p.t.Errorf("%s: %s", where, f)
	}
}

// shifts returns the sum of the layout shifts while f runs.
func (p *page) shifts(f func()) (sum float64) {
	p.t.Helper()
	p.run(chromedp.Evaluate(`window.shifts = 0; new PerformanceObserver((l) => { for (const e of l.getEntries()) shifts += e.value; }).observe({type: 'layout-shift'})`, nil))
	f()
	p.run(chromedp.Evaluate(`shifts`, &sum))
	return sum
}

// fastTime is how long a fast count is observed.
func fastTime() time.Duration {
	if harness.Soak() {
		return 10 * time.Minute
	}
	return 4 * time.Second
}

// usage is the resources of a page: CPU seconds, and bytes of memory after a garbage
// collection.
type usage struct{ cpu, heap float64 }

func (p *page) used() (u usage) {
	p.t.Helper()
	p.run(chromedp.ActionFunc(func(ctx context.Context) error {
		if err := performance.Enable().Do(ctx); err != nil {
			return err
		}
		if err := heapprofiler.CollectGarbage().Do(ctx); err != nil {
			return err
		}
		metrics, err := performance.GetMetrics().Do(ctx)
		for _, m := range metrics {
			switch m.Name {
			case "TaskDuration":
				u.cpu = m.Value
			case "JSHeapUsedSize":
				u.heap = m.Value
			}
		}
		return err
	}))
	return u
}

// wallTime is how long a count is observed for unexpected states.
const wallTime = 4 * time.Second
