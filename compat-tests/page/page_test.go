// Package page tests the live page in a real Chromium, while clients and servers
// are killed.
package page

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/harness"

	"github.com/chromedp/chromedp"
)

// TestMain runs few tests at the same time, as each has a browser.
func TestMain(m *testing.M) { harness.MainAtOnce(m, 8) }

const (
	interval = 300 * time.Millisecond
	limit    = 1_000_000 // limit of a client and goal of a server, which no test reaches
	goal     = "1000000"
)

// The page shows the count, and interruptions by a killed client and a killed server with
// their durations.
func TestThePageShowsWhatIsKilled(t *testing.T) {
	t.Parallel()
	deployment := harness.NewDeployment(t)
	server := deployment.GoServer(t, "-goal", goal)
	p := open(t, deployment.URL())
	p.status("Waiting for both clients")
	p.shows("#start-go", `^SERVER_URL='`+regexp.QuoteMeta(deployment.URL())+`/' client$`)
	p.visible("#qr")
	p.shot("01-empty")

	client1 := harness.Go.Start(t, deployment.URL(), interval, limit)
	p.status("Waiting for client2")
	p.shot("02-one-client")
	harness.Go.Start(t, deployment.URL(), interval, limit)
	p.status("Counting")
	p.rises(30)
	p.shows("#spelling", `^[a-z]`)
	p.shows("#goal", `^of 1,000,000$`)
	p.shows("#tally-text", `^No interruption so far, 0 lost$`)
	p.title(`^[\d,]+ · Counting$`, "page/icon.svg")
	p.shot("03-counting")

	// client1 is killed, and starts again.
	client1.Kill()
	died := time.Now()
	p.status("client1 is gone")
	p.shows(".seat.client1 .seat-state", `^empty for`)
	p.shows("#timeline", `client1 left`)
	p.title(`^[\d,]+ · client1 is gone$`, "page/icon-trouble.svg")
	time.Sleep(1500 * time.Millisecond) // the least duration of the interruption
	p.shot("04-client-gone")
	harness.Go.Start(t, deployment.URL(), interval, limit)
	p.between("#headline-text", `^Back after `+length+`, nothing lost$`, 1500*time.Millisecond, died)
	p.between("#incident-list", `client1 gone, back after `+length+`$`, 1500*time.Millisecond, died)
	p.shows(".row-gap", `^`+length+`$`)
	p.shows(".band-label", `^`+length+`$`)
	p.shows("#tally-text", `^1 interruption, longest `+length+`, 0 lost$`)
	p.shows(".seat.client1 .seat-nth", `^2nd since `)
	p.rises(5)
	p.shot("05-client-back")

	// So is the server.
	known := p.number()
	p.serverAway(true)
	server.Kill()
	died = time.Now()
	p.status("The server is away")
	p.title(`^[\d,]+ · The server is away$`, "page/icon-trouble.svg")
	if n := p.number(); n < known {
		t.Errorf("the page forgot the count: %d after %d", n, known)
	}
	p.shows(".seat-state", "not known")
	time.Sleep(2 * time.Second)
	p.shot("06-server-gone")
	deployment.GoServer(t, "-goal", goal)
	p.between("#headline-text", `^Back after `+length+`, nothing lost$`, 2*time.Second, died.Add(-time.Second))
	p.serverAway(false)
	p.shows("#incident-list", `server gone, back after`)
	p.shows("#incident-list", `client1 gone, back after`) // the history survives the server
	p.shows("#timeline", `The server started`)
	p.shows("#tally-text", `^2 interruptions, longest `)
	p.rises(5)
	p.shows("#proof", `^all [\d,]+ lines in order, none lost, none twice$`)
	p.shot("07-server-back")

	// The page shows it also after a reload.
	p.reload()
	p.shows("#incident-list", `client1 gone, back after`)
	p.shows(".row-gap", `^`+length+`$`)
	p.rises(2)
	p.wellBehaved(deployment.URL())
}

// A complete count is not shown as interrupted, whether the clients leave or keep their
// seats, as in the Deployments, and whether or not the server runs.
func TestThePageShowsTheEnd(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"leave": nil, "stay": {"STAY=true"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := harness.GoServer(t, "-goal", "20")
			p := open(t, server.URL)
			for range 2 {
				harness.Go.Start(t, server.URL, 20*time.Millisecond, 20, args...)
			}
			p.status("Counted to 20")
			p.shows("#number", `^20$`)
			p.shows("#spelling", `^twenty$`)
			p.shows("#ago", `^last number ([7-9]|\d\d) s ago$`) // longer than the time until an interruption is shown
			p.status("Counted to 20")
			p.title(`^20 · Counted to 20$`, "page/icon-done.svg")
			p.shot("10-done-" + name)
			p.serverAway(true)
			server.Kill()
			p.shows(".seat-state", "not known")
			p.status("Counted to 20")
			p.wellBehaved(server.URL)
		})
	}
}

// A long count shows its end.
func TestThePageShowsALongCount(t *testing.T) {
	t.Parallel()
	deployment := harness.NewDeployment(t)
	writeFile(t, deployment, harness.Counted(1, 4321))
	deployment.GoServer(t, "-goal", "0")
	p := open(t, deployment.URL())
	p.shows(".seat.client2 .seat-next", `^next: 4,322$`)
	p.shows(".seat.client1 .seat-next", `^$`)
	for range 2 {
		harness.Go.Start(t, deployment.URL(), 10*time.Millisecond, limit)
	}
	p.rises(300) // three rows are added, and three removed
	p.shows("#number", `^\d,\d{3}$`)
	p.shows("#goal", `^$`)
	p.shows("#proof", `^the last 2,000 lines in order, none lost, none twice$`)
	var rows, dots int
	p.run(chromedp.Evaluate(`document.querySelectorAll(".row").length`, &rows), chromedp.Evaluate(`document.querySelectorAll(".row .shape").length`, &dots))
	if rows > 21 || dots < 1900 || dots > 2100 {
		t.Errorf("there are %d dots in %d rows", dots, rows)
	}
	var misplaced []string
	p.run(chromedp.Evaluate(`(() => {
		const box = document.getElementById('rows').getBoundingClientRect();
		const rows = [...document.querySelectorAll('.row:not([hidden])')];
		const faults = rows.length > 2 ? [] : [rows.length + ' rows are shown'];
		const step = rows[0].offsetHeight;
		rows.forEach((row, i) => {
			const at = row.getBoundingClientRect();
			if (Math.abs(at.top - box.top - i * step) > 1 || at.bottom > box.bottom + 1) faults.push('row ' + i + ' of ' + step + ' px is at ' + (at.top - box.top));
			const dots = [...row.querySelectorAll('.shape')].map((e) => e.getBoundingClientRect());
			if (new Set(dots.map((d) => Math.round(d.top + d.height / 2))).size > 1) faults.push('row ' + i + ' has dots in several lines');
			if (i + 1 < rows.length && i > 0 && dots.length !== 100) faults.push('row ' + i + ' has ' + dots.length + ' dots');
		});
		return faults;
	})()`, &misplaced))
	if len(misplaced) > 0 {
		t.Errorf("wrong positions of dots: %q", misplaced)
	}
	p.wellBehaved(deployment.URL())
}

// The content of an old file is shown as text, and the count continues after it.
func TestThePageShowsAnOldFile(t *testing.T) {
	t.Parallel()
	deployment := harness.NewDeployment(t)
	writeFile(t, deployment, "one\ntwo\ntwo\n<img src=x onerror=alert(1)>\nthree\n"+strings.Repeat("x", 300)+"\n")
	deployment.GoServer(t)
	p := open(t, deployment.URL())
	p.shows("#line-rows", `<img src=x onerror=alert\(1\)>`)
	p.shows("#number", `^3$`)
	p.shows("#proof", `^an old file: counted on from 4$`)
	p.shot("12-old-file")
	for range 2 {
		harness.Go.Start(t, deployment.URL(), interval, limit)
	}
	p.rises(5)
	p.shows("#proof", `^an old file: counted on from 4$`)
	p.shows("#tally-text", `0 lost$`)
	p.reload()
	p.rises(2)
	p.shows("#proof", `^an old file: counted on from 4$`)
	p.wellBehaved(deployment.URL())
}

func writeFile(t *testing.T, deployment harness.Deployment, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(deployment.Dir, "numbers.txt"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// rises waits until the count has increased by that many.
func (p *page) rises(by int) {
	p.t.Helper()
	from := p.number()
	p.wait(fmt.Sprintf("the number to rise from %d by %d", from, by), func() bool { return p.number() >= from+by })
}

func (p *page) number() int {
	p.t.Helper()
	n, _ := strconv.Atoi(strings.ReplaceAll(p.text("#number"), ",", ""))
	return n
}

// status waits until the headline begins with the text.
func (p *page) status(what string) {
	p.t.Helper()
	p.shows("#headline-text", "^"+regexp.QuoteMeta(what))
}

// shows waits until the text of an element matches, and returns the submatches.
func (p *page) shows(selector, pattern string) (said []string) {
	p.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	p.wait(fmt.Sprintf("%s to say %s", selector, pattern), func() bool {
		said = re.FindStringSubmatch(p.text(selector))
		return said != nil
	})
	return said
}

// length matches a duration on the page.
const length = `(\d+ min(?: \d+ s)?|[0-9.]+ m?s)`

// between waits until an element shows a duration, and fails the test unless that is at
// least least and at most the time since since.
func (p *page) between(selector, pattern string, least time.Duration, since time.Time) {
	p.t.Helper()
	said := p.shows(selector, pattern)
	got, err := time.ParseDuration(strings.NewReplacer(" min", "m", " ", "").Replace(said[1]))
	most := time.Since(since) + 2*time.Second // as clocks advance during the check
	if err != nil || got < least || got > most {
		p.t.Errorf("%s says %v, which is not between %v and %v", selector, got, least, most)
	}
}

// title waits until the tab's title matches, and the tab has the icon.
func (p *page) title(pattern, icon string) {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var title, href string
	p.wait("the title to be "+pattern+" and the icon "+icon, func() bool {
		p.run(chromedp.Title(&title), chromedp.Evaluate(`document.getElementById("icon").getAttribute("href")`, &href))
		return re.MatchString(title) && href == icon
	})
}

// visible waits until an element is shown.
func (p *page) visible(selector string) {
	p.t.Helper()
	var shown bool
	p.wait(selector+" to be shown", func() bool {
		p.run(chromedp.Evaluate(`document.querySelector("`+selector+`")?.getBoundingClientRect().width > 0`, &shown))
		return shown
	})
}
