package counter

import (
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

const (
	// maxUnprinted is how many bytes may be queued.
	maxUnprinted = 64 << 10
	// maxLines is how many lines about the server's events are printed within a window.
	// Lines about the client's own numbers do not count.
	maxLines = 100
	window   = 10 * time.Second
)

// printer prints lines in its own goroutine, so that counting does not wait for the
// output to be read. Lines beyond the limits are dropped and counted.
type printer struct {
	out  io.Writer
	wake chan struct{} // has one element when there may be something to print
	done chan struct{} // closed when everything is printed after close

	mu      sync.Mutex
	text    []byte    // queued to be printed
	since   time.Time // when the current write began, or zero
	closed  bool
	began   time.Time // of the window
	lines   int
	dropped int
}

func newPrinter(out io.Writer) *printer {
	p := &printer{out: out, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go p.run()
	return p
}

// print prints a line about an event of the server.
func (p *printer) print(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rotate()
	if p.lines++; p.lines > maxLines {
		p.dropped++
		return
	}
	p.add(line)
}

// printNumber prints a line about one of the client's numbers.
func (p *printer) printNumber(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rotate()
	p.add(line)
}

// rotate begins the next window when the last one is over, and prints how many lines of
// it were dropped. The caller holds p.mu.
func (p *printer) rotate() {
	if time.Since(p.began) >= window {
		p.began, p.lines = time.Now(), 0
		p.reportDropped()
	}
}

func (p *printer) reportDropped() {
	if n := p.dropped; n > 0 {
		p.dropped = 0
		p.add(fmt.Sprintf("and %s more lines", thousands(n)))
	}
}

func (p *printer) add(line string) {
	if len(p.text)+len(line) >= maxUnprinted {
		p.dropped++
		return
	}
	p.text = append(append(p.text, line...), '\n')
	p.signal()
}

func (p *printer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// stuck reports whether the current write has taken at least that long.
func (p *printer) stuck(wait time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.since.IsZero() && time.Since(p.since) >= wait
}

// close prints what is queued, for at most wait.
func (p *printer) close(wait time.Duration) {
	p.mu.Lock()
	p.reportDropped()
	p.closed = true
	p.signal()
	p.mu.Unlock()
	select {
	case <-p.done:
	case <-time.After(wait):
	}
}

func (p *printer) run() {
	defer close(p.done)
	var spare []byte
	for range p.wake {
		p.mu.Lock()
		text, closed := p.text, p.closed
		p.text, p.since = spare[:0], time.Now()
		p.mu.Unlock()
		if len(text) > 0 {
			p.out.Write(text) // there is nowhere to report an error
		}
		spare = text
		p.mu.Lock()
		p.since = time.Time{}
		p.mu.Unlock()
		if closed {
			return
		}
	}
}

// thousands writes n with commas.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
