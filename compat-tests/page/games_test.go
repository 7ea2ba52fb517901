package page

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"counting/compat-tests/harness"
	"counting/compat-tests/manygames"
)

// The overview has a tile for each game, first those that are not counting.
func TestTheOverviewShowsAllGames(t *testing.T) {
	t.Parallel()
	deployment := harness.NewDeployment(t)
	server := deployment.GoServer(t, "-goal", goal)
	p := open(t, deployment.URL()+"/games")
	p.shows("#summary", `^1 game: 1 standing still, 0 counting, 0 done$`)
	p.shows(".tile h2", `^the default game$`)

	harness.Go.Start(t, deployment.URL()+"?game=lonely", interval, limit)
	harness.Go.Start(t, deployment.URL()+"?game=blue", interval, limit)
	client2 := harness.Go.Start(t, deployment.URL()+"?game=blue", interval, limit)
	p.shows("#summary", `^3 games: 2 standing still, 1 counting, 0 done$`)
	p.shows(".tile[data-state=counting]", `^blue\s+[\d,]+ of 1,000,000\s+client1\s+client2\s+Counting$`)
	p.shows(".tile:nth-child(2)", `^lonely\s[\s\S]*Waiting for client2$`)
	p.shot("20-games")

	// The tile of an interrupted game moves to the front, and keeps the focus.
	p.run(chromedp.Evaluate(`document.querySelector(".tile[data-state=counting] a").focus()`, nil))
	client2.Kill()
	p.shows(".tile:first-child", `^blue\s[\s\S]*client[12] is gone · (\d+ min )?\d+ s$`)
	var focused string
	p.run(chromedp.Evaluate(`document.activeElement.querySelector("h2")?.innerText ?? document.activeElement.tagName`, &focused))
	if focused != "blue" {
		t.Errorf("the focus is on %s", focused)
	}
	p.shows("#announce", `^3 of 3 games standing still$`)
	p.title(`^3 of 3 games standing still · Counting$`, "page/icon.svg")
	harness.Go.Start(t, deployment.URL()+"?game=blue", interval, limit)
	p.shows(".tile:last-child", `^blue\s[\s\S]*Counting$`)

	// The server is down, and starts again.
	p.serverAway(true)
	server.Kill()
	p.shows("#away", `^The server is away · \d`)
	deployment.GoServer(t, "-goal", goal)
	p.shows("#summary", `^3 games: 2 standing still, 1 counting, 0 done$`)
	p.serverAway(false)
	p.wellBehaved(deployment.URL())

	// A tile is a link to its game.
	p.wait("the click on a tile, which may move meanwhile", func() bool {
		return p.try(chromedp.Click(".tile[data-state=counting] a", chromedp.ByQuery)) == nil
	})
	p.shows("#game", `blue$`)
	p.rises(3)
}

// With hundreds of games the page sends one request per second, and opens no stream.
func TestTheOverviewShowsHundredsOfGames(t *testing.T) {
	t.Parallel()
	const games = 200
	deployment := harness.NewDeployment(t)
	deployment.GoServer(t)
	load, err := manygames.Join("127.0.0.1:"+deployment.Port, games, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := load.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := load.Count(t.Context(), 0, time.Second); err != nil {
		t.Fatal(err)
	}
	p := open(t, deployment.URL()+"/games")
	p.shows("#summary", fmt.Sprintf(`^%d games: 1 standing still, %d counting, 0 done$`, games+1, games))
	p.wait(fmt.Sprintf("%d tiles to count", games), func() bool { return strings.Count(p.text(".tile-state"), "Counting") == games })
	for _, url := range p.asked() {
		if strings.Contains(url, "/events") {
			t.Errorf("the overview asks for %s", url)
		}
	}
	p.wellBehaved(deployment.URL())
}
