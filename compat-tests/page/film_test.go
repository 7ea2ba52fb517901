package page

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"counting/compat-tests/harness"

	"github.com/chromedp/chromedp"
)

// In display mode the headline shows the interruption and the recovery of a fast count. The
// test writes an animation of it if PAGE_SCREENSHOTS is set.
func TestAnInterruptionOnADisplay(t *testing.T) {
	t.Parallel()
	server := harness.GoServer(t, "-goal", goal)
	harness.Go.Start(t, server.URL, 100*time.Millisecond, limit)
	client := harness.Go.Start(t, server.URL, 100*time.Millisecond, limit)
	p := open(t, server.URL+"/?display")
	p.run(chromedp.EmulateViewport(960, 540))
	display := look{name: "display", width: 960, height: 540, display: true}
	p.rises(150)
	var f film
	f.take(p, 3)
	p.fits("counting", display)
	client.Kill()
	p.shows("#headline-text", `^client[12] is gone · `+length+`$`)
	f.take(p, 6)
	p.fits("gone", display)
	harness.Go.Start(t, server.URL, 100*time.Millisecond, limit)
	p.shows("#headline-text", `^Back after `+length+`, nothing lost$`)
	f.take(p, 8)
	p.fits("back", display)
	p.shows("#headline-text", `^Counting$`) // 20 s later
	p.shows("#tally-text", `^1 interruption, longest `+length+`, 0 lost$`)
	p.fits("after", display)
	f.write(t, "interruption.gif")
}

// A film is an animation of a page, with a frame each half second.
type film struct{ frames []image.Image }

func (f *film) take(p *page, frames int) {
	p.t.Helper()
	for range frames {
		var picture []byte
		p.run(chromedp.CaptureScreenshot(&picture), chromedp.Sleep(500*time.Millisecond))
		frame, err := png.Decode(bytes.NewReader(picture))
		if err != nil {
			p.t.Fatal(err)
		}
		f.frames = append(f.frames, frame)
	}
}

func (f *film) write(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv(screenshots)
	if dir == "" {
		return
	}
	// The palette has the most frequent colors; other colors of text are close to them.
	used := make(map[color.RGBA]int)
	for _, frame := range f.frames {
		for y := range frame.Bounds().Dy() {
			for x := range frame.Bounds().Dx() {
				used[color.RGBAModel.Convert(frame.At(x, y)).(color.RGBA)]++
			}
		}
	}
	var most []color.RGBA
	for c := range used {
		most = append(most, c)
	}
	slices.SortFunc(most, func(a, b color.RGBA) int { return used[b] - used[a] })
	var palette color.Palette
	for _, c := range most[:min(len(most), 128)] {
		palette = append(palette, c)
	}
	var g gif.GIF
	for _, frame := range f.frames {
		paletted := image.NewPaletted(frame.Bounds(), palette)
		for y := range frame.Bounds().Dy() {
			for x := range frame.Bounds().Dx() {
				paletted.Set(x, y, frame.At(x, y))
			}
		}
		g.Image = append(g.Image, paletted)
		g.Delay = append(g.Delay, 50)
	}
	file, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := gif.EncodeAll(file, &g); err != nil {
		t.Fatal(err)
	}
}
