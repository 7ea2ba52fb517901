package counter

import (
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

const (
	// maxUnprinted is how many bytes may wait to be printed.
	maxUnprinted = 64 << 10
	// maxLines is how many lines are printed within a window about what the
	// server does. The numbers that the client counts are not among them.
	maxLines = 100
	window   = 10 * time.Second
)

// printer prints lines in a goroutine of its own, so that who counts does not
// wait for who reads them. Lines that find no room, or are over the limit, are
// left out and counted.
type printer struct {
	out  io.Writer
	wake chan struct{} // has one element when there may be something to print
	done chan struct{} // closed when all is printed after close

	mu      sync.Mutex
	text    []byte    // waits to be printed
	since   time.Time // when the write began that goes on, or zero
	closed  bool
	began   time.Time // of the window
	lines   int
	leftOut int
}

func newPrinter(out io.Writer) *printer {
	p := &printer{out: out, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go p.run()
	return p
}

// print prints a line about what the server does.
func (p *printer) print(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn()
	if p.lines++; p.lines > maxLines {
		p.leftOut++
		return
	}
	p.add(line)
}

// printNumber prints a line about a number that the client counts.
func (p *printer) printNumber(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn()
	p.add(line)
}

// turn begins the next window if it is time, with how many lines were left out
// of the last. The caller holds the lock.
func (p *printer) turn() {
	if time.Since(p.began) >= window {
		p.began, p.lines = time.Now(), 0
		p.tellLeftOut()
	}
}

func (p *printer) tellLeftOut() {
	if n := p.leftOut; n > 0 {
		p.leftOut = 0
		p.add(fmt.Sprintf("and %s more lines", thousands(n)))
	}
}

func (p *printer) add(line string) {
	if len(p.text)+len(line) >= maxUnprinted {
		p.leftOut++
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

// stuck tells whether nobody has read what is printed for that long.
func (p *printer) stuck(wait time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.since.IsZero() && time.Since(p.since) >= wait
}

// close has what waits printed, for as long as it may take.
func (p *printer) close(wait time.Duration) {
	p.mu.Lock()
	p.tellLeftOut()
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
			p.out.Write(text) // if it fails, there is nobody to tell
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
