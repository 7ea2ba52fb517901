// Package page holds the live page to what it promises, in a real Chromium,
// while clients and servers are killed.
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

	"counting/compat-tests/subject"
	"counting/server/spelling"

	"github.com/chromedp/chromedp"
)

func TestMain(m *testing.M) { subject.Main(m) }

const (
	interval = 300 * time.Millisecond
	limit    = 10_000
)

// The page shows the count going up, a client's death and return, and the
// server's, with how long each interruption lasted.
func TestThePageShowsWhatIsKilled(t *testing.T) {
	t.Parallel()
	place := subject.NewPlace(t)
	server := place.GoServer(t, "-goal", "200")
	p := open(t, place.URL())
	p.status("Waiting for both clients")
	p.shot("1-nobody")

	client1 := subject.Go.Start(t, place.URL(), interval, limit)
	p.status("Waiting for client2")
	subject.Go.Start(t, place.URL(), interval, limit)
	p.status("Counting")
	p.rises(30)
	p.shows("#spelling", `^[a-z]`)
	p.shows("#goal", `^of 200$`)
	p.shot("2-counting")

	// client1 dies, and comes back.
	client1.Kill()
	died := time.Now()
	p.status("Waiting for client1")
	p.shows(".seat.client1 .seat-state", `^empty for`)
	p.shows("#timeline", `client1 left`)
	time.Sleep(1500 * time.Millisecond) // so long is the interruption at least
	p.shot("3-client1-dead")
	subject.Go.Start(t, place.URL(), interval, limit)
	p.status("Counting")
	p.between("#timeline", `^The count went on after ([0-9.]+) s`, 1500*time.Millisecond, time.Since(died))
	p.shows("#beads .gap", `^[0-9.]+ s$`)
	p.rises(5)
	p.shot("4-client1-back")

	// So does the server.
	known := p.number()
	p.serverAway(true)
	server.Kill()
	died = time.Now()
	p.status("The server is away")
	if n := p.number(); n < known {
		t.Errorf("the page forgot the count: %d after %d", n, known)
	}
	time.Sleep(2 * time.Second)
	p.shot("5-server-away")
	place.GoServer(t, "-goal", "200")
	p.status("Counting")
	p.serverAway(false)
	p.between("#timeline", `The server was away for ([0-9.]+) s`, 1500*time.Millisecond, time.Since(died))
	p.shows("#timeline", `The server started`)
	p.shows("#timeline", `(?s:(?:The count went on after.*){2})`) // not only client1's
	p.between("#timeline", `^The count went on after ([0-9.]+) s`, 2*time.Second, time.Since(died)+time.Second)
	p.rises(5)
	p.shows("#proof", `^all [0-9]+ lines in order, none lost, none twice$`)
	p.shot("6-server-back")

	// Who comes now sees it, too.
	p.reload()
	p.status("Counting")
	p.shows("#timeline", `The count went on after`)
	p.shows("#beads .gap", `^[0-9.]+ s$`)
	p.rises(2)
	p.shot("7-reloaded")
	p.wellBehaved(place.URL())
}

// A count that is over is done, not interrupted: whether the clients leave or
// stay in their seats, as the Deployments' do, and whether the server is there.
func TestThePageShowsTheEnd(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"leave": nil, "stay": {"STAY=true"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := subject.GoServer(t, "-goal", "20")
			p := open(t, server.URL)
			for range 2 {
				subject.Go.Start(t, server.URL, 20*time.Millisecond, 20, args...)
			}
			p.status("Counted to 20")
			p.shows("#number", `^20$`)
			p.shows("#spelling", `^twenty$`)
			p.shows("#ago", `^last number ([7-9]|\d\d) s ago$`) // longer than it takes to raise an alarm
			p.status("Counted to 20")
			p.shot("8-done-" + name)
			p.serverAway(true)
			server.Kill()
			p.shows(".seat-state", "not known")
			p.status("Counted to 20")
			p.wellBehaved(server.URL)
		})
	}
}

// A long count shows its end, and as many dots as there is room for.
func TestThePageShowsALongCount(t *testing.T) {
	t.Parallel()
	place := subject.NewPlace(t)
	var lines []byte
	for n := int64(1); n <= 4321; n++ {
		lines = append(spelling.Append(lines, n), '\n')
	}
	if err := os.WriteFile(filepath.Join(place.Dir, "numbers.txt"), lines, 0o666); err != nil {
		t.Fatal(err)
	}
	place.GoServer(t, "-goal", "0")
	p := open(t, place.URL())
	for range 2 {
		subject.Go.Start(t, place.URL(), interval, limit)
	}
	p.rises(20)
	p.shows("#number", `^4,3\d\d$`)
	p.shows("#goal", `^$`)
	p.shows("#proof", `^the last 2,000 lines in order, none lost, none twice$`)
	var dots int
	p.run(chromedp.Evaluate(`document.querySelectorAll("#beads .shape").length`, &dots))
	if dots < 2000 || dots > 2200 {
		t.Errorf("there are %d dots", dots)
	}
	p.shot("9-long")
	p.wellBehaved(place.URL())
}

// What an old file holds is shown as text, whatever it is.
func TestThePageShowsAnOldFile(t *testing.T) {
	t.Parallel()
	place := subject.NewPlace(t)
	old := "one\ntwo\ntwo\n<img src=x onerror=alert(1)>\nthree\n"
	if err := os.WriteFile(filepath.Join(place.Dir, "numbers.txt"), []byte(old), 0o666); err != nil {
		t.Fatal(err)
	}
	place.GoServer(t)
	p := open(t, place.URL())
	p.shows("#line-rows", `<img src=x onerror=alert\(1\)>`)
	p.shows("#proof", `^line 3 is not 3$`)
	p.wellBehaved(place.URL())
}

// rises waits until the count has gone up by that many.
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

// status waits until the page says so.
func (p *page) status(what string) {
	p.t.Helper()
	p.shows("#status-text", "^"+regexp.QuoteMeta(what))
}

// shows waits until the text of an element matches.
func (p *page) shows(selector, pattern string) {
	p.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	p.wait(fmt.Sprintf("%s to say %s", selector, pattern), func() bool { return re.MatchString(p.text(selector)) })
}

// between waits until an element names a number of seconds, and fails unless it
// lies between the two.
func (p *page) between(selector, pattern string, least, most time.Duration) {
	p.t.Helper()
	p.shows(selector, pattern)
	seconds, err := strconv.ParseFloat(regexp.MustCompile("(?m)" + pattern).FindStringSubmatch(p.text(selector))[1], 64)
	most += 2 * time.Second // for clocks that go on while the test looks
	if got := time.Duration(seconds * float64(time.Second)); err != nil || got < least || got > most {
		p.t.Errorf("%s says %v, which is not between %v and %v", selector, got, least, most)
	}
}
