package page

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/server/game"
	"counting/server/live"
	served "counting/server/page"
	"counting/server/protocol"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// A stage serves the page with a feed that is driven by the test.
type stage struct {
	*live.Feed
	url string
}

func newStage(t *testing.T, o live.Options) *stage {
	t.Helper()
	hub := live.NewHub(live.HubOptions{})
	feed, err := hub.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	go hub.Run()
	mux := http.NewServeMux()
	for path, handler := range served.Files() {
		if path == "/" {
			path = "/{$}"
		}
		mux.Handle(path, handler)
	}
	mux.HandleFunc("/state", feed.ServeState)
	mux.HandleFunc("/events", feed.ServeEvents)
	mux.HandleFunc("/numbers.txt", feed.ServeFile)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		hub.Close(context.Background())
	})
	return &stage{feed, server.URL}
}

func (s *stage) sit() {
	for _, seat := range protocol.Seats {
		s.Happened(game.Seated{Seat: seat})
	}
}

// The page shows a full disk, with its duration.
func TestThePageShowsAFullDisk(t *testing.T) {
	t.Parallel()
	s := newStage(t, live.Options{Count: 1234, Unbroken: true, Goal: 2000})
	s.sit()
	s.Written([]float64{1235, 1236}, 0)
	p := open(t, s.url)
	p.shows("#headline-text", "^(Counting|Back)")
	s.Storage(syscall.ENOSPC)
	p.shows("#headline-text", `^The disk is full · `+length+`$`)
	p.shows("#timeline", "^The count cannot be written: the disk is full$")
	p.shows("#incident-list", `^disk trouble for \d`)
	p.shot("08-disk-full")
	s.Storage(nil)
	s.Written([]float64{1237}, 0)
	p.shows("#headline-text", `^Back after `+length+`, nothing lost$`)
	p.wellBehaved(s.url)
}

// A waiting client is shown as one state, not as a hundred activities.
func TestThePageShowsAWaitingClient(t *testing.T) {
	t.Parallel()
	server := counting(t, interval)
	p := open(t, server.URL)
	p.rises(3)
	harness.Go.Start(t, server.URL, interval, limit)
	p.shows("#waiting", "^1 client waits for a seat$")
	p.shows("#timeline", "^A client found both seats taken")
	p.shot("11-waiting-third")
	p.wellBehaved(server.URL)
}

// The page shows ten million lines as fast as a hundred.
func TestThePageShowsAVeryLongCount(t *testing.T) {
	t.Parallel()
	const last = 10_000_000
	s := newStage(t, live.Options{Count: last, Unbroken: true, LastAt: time.Now().Add(-time.Hour)})
	p := open(t, s.url)
	p.shows("#number", "^10,000,000$")
	p.shows("#spelling", "^ten million$")
	s.sit()
	p.shows(".seat.client1.turn .seat-next", `^→ 10,000,001$`)
	for n := int64(last + 1); n <= last+5; n++ {
		s.Written([]float64{float64(n)}, 0)
	}
	p.shows("#number", "^10,000,005$")
	p.shows(".seat.client2.turn .seat-next", `^→ 10,000,006$`)
	p.shows(".seat.client1:not(.turn) .seat-next", `^$`)
	p.shows("#proof", `^the last 2,000 lines in order, none lost, none twice$`)
	p.shot("13-ten-million")
	p.wellBehaved(s.url)
}

// The history of many hours is bounded and has dates, and an interruption of two seconds
// does not look like one of 45 minutes.
func TestThePageShowsHoursOfHistory(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	at := func(ago time.Duration) time.Time { return now.Add(-ago) }
	until := func(ago time.Duration) *time.Time { u := at(ago); return &u }
	var happenings, interruptions []any
	for i := range 60 {
		ago := 50*time.Hour - time.Duration(i)*26*time.Minute // at least a day ago at any time of day
		cause := live.Causes[i%len(live.Causes)]
		interruptions = append(interruptions, live.Interruption{ID: int64(i + 1), Cause: cause, At: at(ago), After: at(ago), Line: int64(10 * (i + 1)), Seconds: 2 + float64(i%7)*20})
		happenings = append(happenings, live.Activity{ID: int64(i + 1), At: at(ago), Type: live.SeatLeft, Seat: "client1", Times: int64(i % 3 * 20), Until: until(ago - time.Second)})
	}
	for i, ago := range []time.Duration{12 * time.Minute, 9 * time.Minute, 150 * time.Second} {
		interruptions = append(interruptions, live.Interruption{ID: int64(100 + i), Cause: live.CauseClient2, At: at(ago), After: at(ago), Line: int64(700 + 10*i), Seconds: []float64{90, 2, 25}[i]})
	}
	spans := []live.Span{{From: at(14 * time.Minute), Until: until(12 * time.Minute)}, {From: at(630 * time.Second), Until: until(9 * time.Minute)}, {From: at(538 * time.Second), Until: until(20 * time.Second)}}
	history := map[string]any{
		"saved": at(5 * time.Second), "lines": 800, "happenings": happenings, "interruptions": interruptions,
		"tally": live.Tally{Since: at(50 * time.Hour), Interruptions: 63, Longest: 2700, Total: 5000},
		"times": map[string]int{"client1": 41, "client2": 22},
		"lanes": []live.Lane{{Name: "server", Spans: spans[:1]}, {Name: "client1", Spans: spans}, {Name: "client2", Spans: spans}},
	}
	text, err := json.Marshal(history)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), live.HistoryName)
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
	s := newStage(t, live.Options{History: path, Count: 800, Unbroken: true, LastAt: at(20 * time.Second), Goal: 2000})
	s.sit()
	s.Written([]float64{801, 802}, 0)
	p := open(t, s.url)
	p.shows("#tally-text", `^64 interruptions, longest 45 min, 0 lost$`)
	p.shows("#incident-list", `server gone, back after`)
	p.shows("#incident-list", `^\d+ \w{3,4}, \d\d:\d\d:\d\d`)
	p.shows(".band-label", `^1 min 30 s$`)
	p.shows(".seat.client1 .seat-nth", `^42nd since \d+ `)
	p.shot("14-hours")
	p.wellBehaved(s.url)
}

// The page uses the server's clock, also if that is later than the page expects, as after
// the sleep of a laptop.
func TestTheServersClock(t *testing.T) {
	t.Parallel()
	p := open(t, streams(t, 7, 7, func(w io.Writer) {
		writeLine(w, 7, 7)
		fmt.Fprintf(w, "event: time\ndata: %q\n\n", time.Now().Add(time.Hour).Format(time.RFC3339Nano))
	}))
	p.shows("#ago", `^last number (60 min|1 h) ago$`)
}

// writeLine writes the event of a line to a stream.
func writeLine(w io.Writer, line, number int64) {
	fmt.Fprintf(w, "id: %d\nevent: line\ndata: {\"line\":%[1]d,\"text\":\"x\",\"number\":%d,\"at\":%q}\n\n", line, number, time.Now().Format(time.RFC3339Nano))
}

// streams serves the page with a count at that line and number, and with the stream that
// events writes.
func streams(t *testing.T, line, number int64, events func(io.Writer)) (url string) {
	t.Helper()
	state := live.State{Status: live.Status{Now: time.Now(), Lines: line, Count: number, Unbroken: true, Running: true,
		Seats: []live.Seat{{Seat: "client1", Taken: true}, {Seat: "client2", Taken: true}}},
		Activities: []live.Activity{}, Interruptions: []live.Interruption{}, Lanes: []live.Lane{{Name: "server", Spans: []live.Span{}}, {Name: "client1", Spans: []live.Span{}}, {Name: "client2", Spans: []live.Span{}}}}
	mux := http.NewServeMux()
	for path, handler := range served.Files() {
		if path == "/" {
			path = "/{$}"
		}
		mux.Handle(path, handler)
	}
	mux.HandleFunc("/state", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(state) })
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		events(w)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server.URL
}

// The page compares each line with the one before, independently of the server.
func TestThePageShowsWhatIsMissing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		numbers [][2]int64 // line and number
		proof   string
	}{
		"missing":  {[][2]int64{{512457, 512457}, {512460, 512460}, {512463, 512463}}, `^4 missing, the last before line 512,463$`},
		"twice":    {[][2]int64{{7, 7}, {8, 7}, {9, 8}}, `^line 8 does not follow the one before$`},
		"behind":   {[][2]int64{{8, 7}, {9, 8}}, `^line 8 does not follow the one before$`},
		"in_order": {[][2]int64{{7, 7}, {8, 8}, {9, 9}}, `^the last 3 lines in order, none lost, none twice$`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			last := tt.numbers[len(tt.numbers)-1]
			p := open(t, streams(t, last[0], last[1], func(w io.Writer) {
				for _, l := range tt.numbers {
					writeLine(w, l[0], l[1])
				}
			}))
			p.shows("#proof", tt.proof)
			if name == "missing" {
				p.shows("#tally-text", "4 lost$")
			}
		})
	}
}

// The QR code has the address of the page.
func TestTheQRCodeCanBeRead(t *testing.T) {
	t.Parallel()
	server := harness.GoServer(t)
	client := harness.Go.Start(t, server.URL+"?game=blue", interval, limit) // creates the game
	client.Prints(t, "client1")
	p := open(t, server.URL+"/?game=blue&display")
	p.visible("#qr")
	var picture []byte
	p.run(chromedp.Screenshot("#qr", &picture))
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(image.Image(decoded))
	if err != nil {
		t.Fatal(err)
	}
	read, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := read.GetText(), server.URL+"/?game=blue"; got != want {
		t.Errorf("the code is %q, not %q", got, want)
	}
}

// Only the origins that the server allows may show the page in a frame.
func TestFrames(t *testing.T) {
	t.Parallel()
	var page string
	slides := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>Slides</title><iframe src="%s/?display" width=1000 height=600></iframe>`, page)
	}))
	t.Cleanup(slides.Close)
	for name, args := range map[string][]string{"allowed": {"-frame-ancestors", slides.URL}, "refused": nil} {
		t.Run(name, func(t *testing.T) { // one after the other: they share the slides
			server := harness.GoServer(t, args...)
			page = server.URL
			p := open(t, slides.URL)
			shown := func() bool {
				for _, asked := range p.asked() {
					if asked == server.URL+"/events?after=0" {
						return true
					}
				}
				return false
			}
			if name == "allowed" {
				p.wait("the frame to follow the count", shown)
				return
			}
			time.Sleep(wallTime)
			if shown() {
				t.Error("the page is shown in a frame")
			}
		})
	}
}

// Without JavaScript the page refers to the endpoints, and shows no state.
func TestWithoutJavaScript(t *testing.T) {
	t.Parallel()
	server := harness.GoServer(t)
	p := open(t, "about:blank")
	p.run(emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(server.URL))
	p.shows("body", "This page needs JavaScript")
	if text := p.text("body"); strings.Contains(text, "Connecting") || strings.Contains(text, "client1") {
		t.Errorf("the page says %q", text)
	}
}

// At a hundred numbers per second there are no layout shifts, and the memory does not grow;
// in a soak for ten minutes.
func TestAFastCount(t *testing.T) {
	t.Parallel()
	deployment := harness.NewDeployment(t)
	writeFile(t, deployment, harness.Counted(1, 23_000)) // to numbers with long spellings
	server := deployment.GoServer(t, "-goal", "0")
	for range 2 {
		harness.Go.Start(t, server.URL, 20*time.Millisecond, limit)
	}
	for name, query := range map[string]string{"page": "", "display mode": "?display"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, server.URL+"/"+query)
			p.rises(300) // the rows move
			before, began := p.used(), p.number()
			sum := p.shifts(func() { time.Sleep(fastTime()) })
			after := p.used()
			t.Logf("%s: %v, %d numbers: %.1f s of CPU, heap %.1f MB before and %.1f MB after, layout shift %.3f", name, fastTime(), p.number()-began,
				after.cpu-before.cpu, before.heap/1e6, after.heap/1e6, sum)
			if sum > 0.01 {
				t.Errorf("the layout shifts by %.3f", sum)
			}
			if after.heap > before.heap+1e6 {
				t.Errorf("the heap grew from %.1f to %.1f MB", before.heap/1e6, after.heap/1e6)
			}
			p.wellBehaved(server.URL)
		})
	}
	p := open(t, server.URL)
	p.rises(300)
	p.shot("15-fast")
}
