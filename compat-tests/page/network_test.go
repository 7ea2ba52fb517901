package page

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"counting/compat-tests/harness"

	"github.com/chromedp/chromedp"
)

// counting starts a server and two clients.
func counting(t *testing.T, interval time.Duration, args ...string) *harness.Server {
	t.Helper()
	server := harness.GoServer(t, append([]string{"-goal", "0"}, args...)...)
	for range 2 {
		harness.Go.Start(t, server.URL, interval, limit)
	}
	return server
}

// behind starts a proxy for a server. change, if not nil, changes the responses.
func behind(t *testing.T, server, prefix string, change func(*http.Response) error) string {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval = -1
	proxy.ModifyResponse = change
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	front := httptest.NewServer(http.StripPrefix(prefix, proxy))
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	return front.URL + prefix
}

// The page works through a proxy under any path, also if the proxy compresses responses, or
// buffers them until they end.
func TestBehindProxies(t *testing.T) {
	t.Parallel()
	server := counting(t, interval)
	// As express's compression(), which buffers what it compresses.
	compress := func(r *http.Response) error {
		if strings.Contains(r.Header.Get("Cache-Control"), "no-transform") || r.Request.Method == http.MethodHead {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write(body)
		z.Close()
		r.Body = io.NopCloser(&packed)
		r.ContentLength = int64(packed.Len())
		r.Header.Set("Content-Length", fmt.Sprint(packed.Len()))
		r.Header.Set("Content-Encoding", "gzip")
		return nil
	}
	collect := func(r *http.Response) error {
		body, err := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		return err
	}
	for name, change := range map[string]func(*http.Response) error{"path": nil, "compressing": compress, "collecting": collect} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			front := behind(t, server.URL, "/counting", change)
			p := open(t, front+"/")
			headlines := p.headlines()
			p.rises(5)
			p.status("Counting")
			time.Sleep(wallTime)
			p.rises(5)
			p.shows("#start-go", regexp.QuoteMeta(front+"/"))
			var code int
			p.run(chromedp.Evaluate(`fetch(document.getElementById("download").href).then((r) => r.status)`, &code, awaited))
			if code != http.StatusOK {
				t.Errorf("the download answers %d", code)
			}
			for _, h := range headlines() {
				if strings.Contains(h, "away") || strings.Contains(h, "sends nothing") {
					t.Errorf("the page said %q", h)
				}
			}
			p.wellBehaved(front)
		})
	}
}

// While the server is frozen, the page shows that the state is unknown, and does not report
// an interruption by a client.
func TestAServerThatIsFrozen(t *testing.T) {
	t.Parallel()
	server := counting(t, interval)
	p := open(t, server.URL)
	p.rises(10)
	headlines := p.headlines()
	p.serverAway(true)
	server.Freeze()
	froze := time.Now()
	p.between("#headline-text", `^Nothing is heard from the server · `+length, 6*time.Second, froze.Add(-time.Second))
	p.shows("#headline-text", `^The server is away · `+length)
	p.shows(".seat-state", "not known")
	p.between("#headline-text", `^The server is away · `+length, time.Since(froze)-7*time.Second, froze.Add(-5*time.Second))
	server.Thaw()
	p.rises(5)
	p.shows("#headline-text", `^(Counting|Back after)`)
	for _, h := range headlines() {
		if strings.Contains(h, "sends nothing") {
			t.Errorf("the page said %q", h)
		}
	}
}

// If the server refuses more readers, the page does not report it as down, and shows the
// count without the stream.
func TestAServerWithTooManyReaders(t *testing.T) {
	t.Parallel()
	server := counting(t, interval, "-max-readers", "1")
	response, err := http.Get(server.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	p := open(t, server.URL)
	p.serverAway(true) // its requests are refused
	headlines := p.headlines()
	p.rises(5)
	time.Sleep(wallTime)
	p.rises(5)
	for _, h := range headlines() {
		if strings.Contains(h, "away") {
			t.Errorf("the page said %q", h)
		}
	}
	response.Body.Close()
	p.shows("#proof", "in order") // it has the lines
}

// A page that does not reach the server at first shows that, and later the count.
func TestAServerThatCannotBeReachedAtFirst(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	down.Store(true)
	server := counting(t, interval)
	front := behind(t, server.URL, "", func(r *http.Response) error {
		if down.Load() && (r.Request.URL.Path == "/state" || r.Request.URL.Path == "/events") {
			return io.ErrUnexpectedEOF
		}
		return nil
	})
	p := open(t, front)
	p.serverAway(true)
	p.shows("#headline-text", `^The server cannot be reached · `+length)
	p.shot("09-cannot-be-reached")
	down.Store(false)
	p.status("Counting")
}

// The clock of the page's machine may change while the page is open.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	server := counting(t, interval)
	for _, step := range []int{30_000, -30_000, 86_400_000} {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			t.Parallel()
			p := open(t, server.URL)
			p.rises(10)
			headlines := p.headlines()
			p.run(chromedp.Evaluate(fmt.Sprintf(`{ const real = Date.now; Date.now = () => real() + %d }`, step), nil))
			time.Sleep(wallTime)
			p.rises(5)
			p.shows("#ago", "^last number just now$")
			p.shows("#rate-now", `^([1-9]|0\.[1-9])`)
			for _, h := range headlines() {
				if !strings.HasPrefix(h, "Counting") {
					t.Errorf("the page said %q", h)
				}
			}
		})
	}
}

// A slow count is not shown as interrupted.
func TestASlowCount(t *testing.T) {
	t.Parallel()
	server := counting(t, 12*time.Second)
	p := open(t, server.URL)
	headlines := p.headlines()
	p.wait("some numbers", func() bool { return p.number() >= 6 })
	for _, h := range headlines() {
		if !strings.HasPrefix(h, "Counting") && !strings.HasPrefix(h, "Waiting") && !strings.HasPrefix(h, "Both clients are here") && !strings.HasPrefix(h, "Connecting") {
			t.Errorf("the page said %q", h)
		}
	}
	if text := p.text(".band-label, .row-gap"); strings.TrimSpace(text) != "" {
		t.Errorf("the page shows interruptions: %s", text)
	}
}

// Of seven tabs the hidden ones have no connection, but show number and state in their
// titles. When they are shown, they continue without a gap.
func TestManyTabs(t *testing.T) {
	t.Parallel()
	server := counting(t, interval)
	first := open(t, server.URL)
	tabs := []*page{first}
	for len(tabs) < 7 {
		tabs[len(tabs)-1].hide()
		tabs = append(tabs, first.tab(server.URL))
		tabs[len(tabs)-1].rises(2)
	}
	shown := tabs[len(tabs)-1]
	shown.wait("one reader", func() bool {
		return strings.Contains(harness.Get(t, server.URL+"/metrics").Body, "\ncounting_stream_readers 1\n")
	})
	var before, after string
	first.run(chromedp.Title(&before))
	first.wait("the title to change", func() bool {
		first.run(chromedp.Title(&after))
		return after != before
	})
	first.show()
	first.rises(5)
	first.shows("#proof", `^all [\d,]+ lines in order, none lost, none twice$`)
	for _, tab := range tabs {
		tab.wellBehaved(server.URL)
	}
}

// The title of a hidden tab shows that the server is down.
func TestTheTitleOfAHiddenTab(t *testing.T) {
	t.Parallel()
	deployment := harness.NewDeployment(t)
	server := deployment.GoServer(t)
	p := open(t, deployment.URL())
	for range 2 {
		harness.Go.Start(t, deployment.URL(), interval, limit)
	}
	p.rises(5)
	p.hide()
	p.serverAway(true)
	server.Kill()
	p.title(`^[\d,]+ · The server is away$`, "page/icon-trouble.svg")
	deployment.GoServer(t)
	p.title(`^[\d,]+ · Counting$|Back after`, "page/icon-done.svg")
	p.show()
	p.rises(5)
}

// A page that is served by a standby continues when the standby becomes the owner.
func TestAStandbyTakesOver(t *testing.T) {
	t.Parallel()
	owner := harness.GoServer(t, "-goal", goal)
	standby := owner.Standby(t, "-goal", goal)
	for range 2 {
		harness.Go.Start(t, standby.URL, interval, limit)
	}
	p := open(t, standby.URL)
	p.status("Counting")
	p.rises(10)
	announced := p.said("announce")
	known := p.number()
	p.serverAway(true) // until the standby owns the games
	owner.Kill()
	died := time.Now()
	p.between("#headline-text", `^Back after `+length+`, nothing lost$`, 0, died)
	p.serverAway(false)
	if n := p.number(); n < known {
		t.Errorf("the page forgot the count: %d after %d", n, known)
	}
	p.shows("#incident-list", `server gone, back after`)
	p.shows("#timeline", `The server started`)
	p.shows("#tally-text", `^1 interruption, longest `)
	p.rises(10)
	p.shows("#proof", `^all [\d,]+ lines in order, none lost, none twice$`)
	// A screen reader announces each change once, without running seconds.
	said := announced()
	for i, text := range said {
		if i > 0 && text == said[i-1] || strings.Contains(text, "·") {
			t.Errorf("a screen reader reads %q", said)
			break
		}
	}
	if recoveries := strings.Count(strings.Join(said, "\n"), "Back after"); recoveries != 1 {
		t.Errorf("a screen reader reads the recovery %d times: %q", recoveries, said)
	}
	p.shot("16-standby-took-over")
	p.wellBehaved(standby.URL)
}

// A tab that was frozen, as during the sleep of a laptop, continues with the current count.
func TestAFrozenTab(t *testing.T) {
	t.Parallel()
	server := counting(t, interval)
	p := open(t, server.URL)
	p.rises(5)
	p.freeze(wallTime)
	p.rises(5)
	p.shows("#headline-text", `^Counting`)
	p.shows("#proof", `^all [\d,]+ lines in order, none lost, none twice$`)
	p.wellBehaved(server.URL)
}

// When a server of another version takes over, the page reloads once.
func TestANewVersionOfTheServer(t *testing.T) {
	t.Parallel()
	var upgraded atomic.Bool
	server := counting(t, interval)
	assets := regexp.MustCompile(`"assets":"([^"]+)"`).FindStringSubmatch(harness.Get(t, server.URL+"/state").Body)[1]
	front := behind(t, server.URL, "", func(r *http.Response) error {
		if upgraded.Load() {
			r.Body = &replacing{r.Body, []byte(assets), []byte(strings.Repeat("x", len(assets)))}
		}
		return nil
	})
	p := open(t, front)
	p.rises(3)
	p.run(chromedp.Evaluate(`window.old = true; window.loads = Number(sessionStorage.loads ?? 0)`, nil))
	upgraded.Store(true)
	p.hide() // the page then requests the state
	p.wait("the page to be loaded again", func() bool {
		var old bool
		p.run(chromedp.Evaluate(`window.old === true`, &old))
		return !old
	})
	p.show()
	p.run(chromedp.Evaluate(`window.again = true`, nil))
	time.Sleep(wallTime)
	p.rises(3)
	var again bool
	p.run(chromedp.Evaluate(`window.again === true`, &again))
	if !again {
		t.Error("the page was loaded more than once")
	}
}

// replacing replaces a word by another one of the same length.
type replacing struct {
	io.ReadCloser
	old, new []byte
}

func (r *replacing) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	copy(p, bytes.ReplaceAll(p[:n], r.old, r.new))
	return n, err
}

// headlines records the texts of the headline from now on.
func (p *page) headlines() func() []string { return p.said("headline-text") }

// said records the texts of an element from now on.
func (p *page) said(id string) func() []string {
	p.t.Helper()
	list := "said_" + strings.ReplaceAll(id, "-", "_")
	p.run(chromedp.Evaluate(fmt.Sprintf(`window.%s = [];
		new MutationObserver(() => %[1]s.push(document.getElementById(%[2]q).textContent))
			.observe(document.getElementById(%[2]q), {childList: true, characterData: true, subtree: true})`, list, id), nil))
	return func() []string {
		p.t.Helper()
		var said []string
		p.run(chromedp.Evaluate(list, &said))
		return said
	}
}
