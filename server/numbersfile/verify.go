package numbersfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"

	"counting/server/spelling"
)

// Mismatch is the first line of a file that is not the spelling of its number.
type Mismatch struct {
	Line int64  // its number, which is the number that it should spell
	Got  string // its text, without the newline, shortened to about 80 bytes
	Want string // the text it should have
	Torn bool   // it has no newline: the file ends within it
}

// String returns one line that is safe to print, whatever the file holds.
func (m Mismatch) String() string {
	torn := ""
	if m.Torn {
		torn = " without a newline"
	}
	return fmt.Sprintf("line %d is %q%s, not %q", m.Line, m.Got, torn, m.Want)
}

// Verify reports whether the file at path is an unbroken count from one: bad is then
// nil, and otherwise the first wrong line. lines is the number of correct lines
// before it. The error is that of opening or reading.
//
// It takes no lock. While a server writes, the last line may appear incomplete.
func Verify(path string) (lines int64, bad *Mismatch, err error) {
	return VerifyWithProgress(path, nil)
}

// VerifyWithProgress is Verify, and calls progress, if non-nil, with a readable line
// every 2 s.
func VerifyWithProgress(path string, progress func(string)) (lines int64, bad *Mismatch, err error) {
	info, err := os.Stat(path) // opening a named pipe would block
	if err != nil {
		return 0, nil, err
	}
	if !info.Mode().IsRegular() {
		return 0, nil, &os.PathError{Op: "verify", Path: path, Err: errors.New("not a regular file")}
	}
	file, err := os.Open(path)
	if err != nil {
		return 0, nil, err
	}
	defer file.Close()
	report := Options{Progress: progress}.throttled()
	good, err := readPrefix(file, info.Size(), func(done int64) { report(reading(path, done, info.Size())) })
	if err != nil {
		return 0, nil, fmt.Errorf("verify %s: %w", path, err)
	}
	bad, err = mismatchAfter(file, info.Size(), good)
	return good.lines, bad, err
}

// LastUnbroken returns the largest k for which all of one to k are in the file at
// path, in any order, as the original may have written them. A server that opens
// the file continues with k+1. LastUnbroken takes no lock.
func LastUnbroken(path string) (int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	good, err := readPrefix(file, info.Size(), func(int64) {})
	if err != nil {
		return 0, err
	}
	return lastUnbroken(io.NewSectionReader(file, good.bytes, info.Size()-good.bytes), good.lines, func(int64) {})
}

// A prefix is the part of a file, from its start, that is one, two, three, ….
type prefix struct{ lines, bytes int64 }

// spanBlocks is how many blocks of about 75 kB are read together: enough to make the
// cost of the reads negligible, few enough to stay in the processor's cache.
const spanBlocks = 8

// readPrefix compares the size bytes of r with an unbroken count, block by block and
// on all processors, up to the first difference. It calls progress repeatedly with
// the current offset, one call at a time.
func readPrefix(r io.ReaderAt, size int64, progress func(done int64)) (prefix, error) {
	if size == 0 { // a new game
		return prefix{}, nil
	}
	s := search{r: r, size: size, progress: progress}
	var workers sync.WaitGroup
	for range min(int64(runtime.GOMAXPROCS(0)), 1+size>>20) {
		workers.Go(s.work)
	}
	workers.Wait()
	return s.found, s.err
}

// search is the state of one readPrefix. Spans are claimed in order, so that all
// spans before the one that ends the prefix are compared, too.
type search struct {
	r        io.ReaderAt
	size     int64
	progress func(done int64)

	mu     sync.Mutex
	block  int64 // the next to claim
	offset int64 // where it starts
	ended  bool
	found  prefix
	err    error
}

// claim returns the next span, or false if there is none left. The last span may be
// empty: each file ends in some block.
func (s *search) claim() (block, offset, length int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.offset > s.size {
		return 0, 0, 0, false
	}
	block, offset = s.block, s.offset
	s.progress(offset)
	for range spanBlocks {
		s.offset += blockBytes(s.block)
		s.block++
	}
	return block, offset, min(s.offset, s.size) - offset, true
}

func (s *search) work() {
	var got, want []byte
	for {
		block, offset, length, ok := s.claim()
		if !ok {
			return
		}
		if int64(cap(got)) < length {
			got = make([]byte, length)
		}
		rest := got[:length]
		if n, err := s.r.ReadAt(rest, offset); int64(n) < length {
			s.fail(err)
			return
		}
		for range spanBlocks {
			want = appendBlock(want[:0], block)
			if !bytes.HasPrefix(rest, want) {
				lines, n := commonLines(rest, want)
				s.end(prefix{firstOf(block) - 1 + lines, offset + n})
				return
			}
			rest = rest[len(want):]
			offset += int64(len(want))
			block++
		}
	}
}

// end records that the prefix ends at p, unless an earlier end is known.
func (s *search) end(p prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended || p.bytes < s.found.bytes {
		s.ended, s.found = true, p
	}
}

func (s *search) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.err = true, err
}

// commonLines returns how many complete lines a and b have in common from the start,
// and how many bytes these are.
func commonLines(a, b []byte) (lines, n int64) {
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	same = bytes.LastIndexByte(a[:same], '\n') + 1
	return int64(bytes.Count(a[:same], []byte("\n"))), int64(same)
}

// mismatchAfter returns the line after the prefix, or nil if the file ends
// there.
func mismatchAfter(r io.ReaderAt, size int64, good prefix) (*Mismatch, error) {
	if good.bytes == size {
		return nil, nil
	}
	const longest = 80
	buf := make([]byte, min(longest+1, size-good.bytes))
	if n, err := r.ReadAt(buf, good.bytes); n < len(buf) {
		return nil, err
	}
	line, _, ended := bytes.Cut(buf, []byte("\n"))
	got := string(line)
	if len(line) > longest {
		got = string(line[:longest]) + "…"
	}
	return &Mismatch{
		Line: good.lines + 1,
		Got:  got,
		Want: spelling.Spell(good.lines + 1),
		Torn: !ended && len(line) <= longest,
	}, nil
}
