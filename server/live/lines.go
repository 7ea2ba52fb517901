package live

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"counting/server/protocol"
	"counting/server/spelling"
)

const (
	// block is how many lines are read in one step. The offset of each block is kept.
	block = 256
	// maxLine is how many bytes of a line are shown. Spellings are shorter, but an old
	// file may contain other lines.
	maxLine = 300
	// pauseFactor times the time of reading a block is the pause after it.
	pauseFactor = 4
)

// lines reads the lines of numbers.txt by their numbers. It opens the file for each
// block, or spells the lines of an unbroken count. Its methods may be called
// concurrently.
type lines struct {
	path     string
	unbroken bool // line n is the spelling of n

	turn chan struct{} // see Hub.turn

	mu    sync.Mutex
	marks []int64 // marks[i] is the offset of line i*block+1
}

func newLines(path string, unbroken bool, turn chan struct{}) *lines {
	return &lines{path: path, unbroken: unbroken, turn: turn, marks: []int64{0}}
}

// encoded waits for its turn, and returns the lines of read as events.
func (l *lines) encoded(ctx context.Context, after, last int64) (events [][]byte, err error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	began := time.Now()
	found, err := l.read(after, last)
	for _, line := range found {
		events = append(events, encode("line", line.Line, line))
	}
	time.AfterFunc(pauseFactor*time.Since(began), func() { <-l.turn })
	return events, err
}

// read returns the lines after line number after, up to line number last or the end of
// the block, and at least one. The file must contain them.
func (l *lines) read(after, last int64) ([]Line, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unbroken {
		return spell(after, last), nil
	}
	file, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	i := after / block
	if err := l.mark(file, i); err != nil {
		return nil, err
	}
	r := bufio.NewReader(from(file, l.marks[i]))
	var found []Line
	for n := i*block + 1; n <= min(last, (i+1)*block); n++ {
		text, err := readLine(r)
		if err != nil {
			return nil, fmt.Errorf("line %d of %s: %w", n, l.path, err)
		}
		if n > after {
			found = append(found, parse(n, text))
		}
	}
	return found, nil
}

// spell is read for an unbroken count.
func spell(after, last int64) []Line {
	var found []Line
	for n := after + 1; n <= min(last, (after/block+1)*block); n++ {
		found = append(found, Line{Line: n, Text: spelling.Spell(n), Number: n, Seat: protocol.SeatOf(n).String()})
	}
	return found
}

// mark determines the offset of block i, unless it is known.
func (l *lines) mark(file *os.File, i int64) error {
	if i < int64(len(l.marks)) {
		return nil
	}
	if _, err := l.scan(file, i); err != nil {
		return err
	}
	if i >= int64(len(l.marks)) {
		return fmt.Errorf("%s has fewer lines than were written", l.path)
	}
	return nil
}

// count returns how many lines the file has, and marks all blocks.
func (l *lines) count() (int64, error) {
	if l.path == "" {
		return 0, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	file, err := os.Open(l.path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return l.scan(file, math.MaxInt64)
}

// scan marks the blocks after the last mark, up to block i or the end of the file. It
// returns the number of the last line that it has read.
func (l *lines) scan(file *os.File, i int64) (n int64, err error) {
	known := int64(len(l.marks) - 1)
	n = known * block
	buf := make([]byte, 64<<10)
	for at := l.marks[known]; ; {
		read, err := file.ReadAt(buf, at)
		for pos := 0; ; {
			end := bytes.IndexByte(buf[pos:read], '\n')
			if end < 0 {
				break
			}
			pos += end + 1
			if n++; n%block == 0 {
				if l.marks = append(l.marks, at+int64(pos)); n/block == i {
					return n, nil
				}
			}
		}
		at += int64(read)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

func from(file *os.File, at int64) io.Reader {
	return io.NewSectionReader(file, at, 1<<62-at)
}

// readLine returns the part of the next line that is shown.
func readLine(r *bufio.Reader) (text string, err error) {
	for first := true; ; first = false {
		part, err := r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return "", err
		}
		if first {
			shown := bytes.TrimRight(part, "\r\n")
			text = string(shown[:min(len(shown), maxLine)])
		}
		if err == nil {
			return text, nil
		}
	}
}

// parse returns line n with the number that it spells, if any, and the number's seat.
func parse(n int64, text string) Line {
	line := Line{Line: n, Text: text}
	if number, ok := spelling.Parse(text); ok && number > 0 {
		line.Number, line.Seat = number, protocol.SeatOf(number).String()
	}
	return line
}
