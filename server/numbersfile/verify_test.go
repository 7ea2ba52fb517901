package numbersfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"counting/server/spelling"
)

func TestBlocksAreWhatSpellingSays(t *testing.T) {
	t.Parallel()
	for _, block := range []int64{0, 1, 2, 19, 999, 1000, 1001, 123_456, 1_000_000, 9_007_199_254_740} {
		want := counted(firstOf(block), firstOf(block+1)-1)
		if got := string(appendBlock(nil, block)); got != want {
			t.Errorf("block %d differs from the spellings", block)
		}
		if got := blockBytes(block); got != int64(len(want)) {
			t.Errorf("block %d has %d bytes, want %d", block, got, len(want))
		}
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	whole := counted(1, 30_000) // some spans
	line := func(n int64) string { return "\n" + spelling.Spell(n) + "\n" }
	long := strings.Repeat("x", 100)
	tests := []struct {
		name, text string
		lines      int64
		bad        string
	}{
		{"an_empty_file_is_a_count_to_zero", "", 0, ""},
		{"one_line", "one\n", 1, ""},
		{"up_to_the_end_of_block_0", counted(1, 999), 999, ""},
		{"up_to_the_start_of_block_1", counted(1, 1000), 1000, ""},
		{"up_to_the_end_of_a_block", counted(1, 1999), 1999, ""},
		{"up_to_the_end_of_a_span", counted(1, 1000*spanBlocks-1), 1000*spanBlocks - 1, ""},
		{"many_blocks", whole, 30_000, ""},
		{"a_file_that_starts_with_two", "two\n", 0, `line 1 is "two", not "one"`},
		{"a_duplicate_and_a_gap_that_cancel_out", "one\none\nthree\n", 1, `line 2 is "one", not "two"`},
		{"a_torn_line", "one\ntw", 1, `line 2 is "tw" without a newline, not "two"`},
		{"a_line_that_lacks_its_newline_alone", "one\ntwo", 1, `line 2 is "two" without a newline, not "two"`},
		{"an_empty_line_at_the_end", "one\n\n", 1, `line 2 is "", not "two"`},
		{"windows_line_ends", "one\r\ntwo\r\n", 0, `line 1 is "one\r", not "one"`},
		{"what_could_harm_a_terminal_is_quoted", "one\n\x1b[2J\x00\n", 1, `line 2 is "\x1b[2J\x00", not "two"`},
		{"a_long_line_is_shortened", long + "\n", 0, `line 1 is "` + long[:80] + `…", not "one"`},
		{"a_long_torn_line_is_shortened", long, 0, `line 1 is "` + long[:80] + `…", not "one"`},
		{"a_gap_in_a_late_block", strings.Replace(whole, line(28_123), "\n", 1), 28_122,
			`line 28123 is "twenty-eight thousand, one hundred and twenty-four", not "twenty-eight thousand, one hundred and twenty-three"`},
		{"the_first_of_two_bad_lines_counts", strings.NewReplacer(line(29_000), "\n", line(9_000), "\n").Replace(whole), 8_999,
			`line 9000 is "nine thousand and one", not "nine thousand"`},
		{"one_wrong_byte", strings.Replace(whole, "nineteen thousand\n", "ninetean thousand\n", 1), 18_999,
			`line 19000 is "ninetean thousand", not "nineteen thousand"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lines, bad, err := Verify(filepath.Join(dirWith(t, test.text), Name))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if bad != nil {
				got = bad.String()
			}
			if lines != test.lines || got != test.bad {
				t.Errorf("%d lines, %s\nwant %d, %s", lines, got, test.lines, test.bad)
			}
		})
	}
}

func TestVerifyOfNoFileIsAnError(t *testing.T) {
	t.Parallel()
	if _, _, err := Verify(filepath.Join(t.TempDir(), Name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want that there is no such file", err)
	}
	for _, path := range []string{t.TempDir(), os.DevNull} {
		_, _, err := Verify(path)
		checkContains(t, err, "verify "+path+": not a regular file")
	}
}

// slowReader takes a second for each read, one at a time.
type slowReader struct {
	io.ReaderAt
	turn chan struct{} // with room for one
}

func (r slowReader) ReadAt(b []byte, offset int64) (int, error) {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	time.Sleep(time.Second)
	return r.ReaderAt.ReadAt(b, offset)
}

func TestWhatTakesLongSaysHowFarItIs(t *testing.T) {
	t.Parallel()
	text := counted(1, 100_000)
	synctest.Test(t, func(t *testing.T) {
		var said []string
		var at []time.Duration
		began := time.Now()
		o := Options{Progress: func(line string) {
			said = append(said, line)
			at = append(at, time.Since(began))
		}}
		report := o.throttled()
		size := int64(len(text))
		got, err := readPrefix(slowReader{strings.NewReader(text), make(chan struct{}, 1)}, size, func(done int64) { report(reading("numbers.txt", done, size)) })
		if err != nil || got.lines != 100_000 {
			t.Fatalf("%d lines, %v", got.lines, err)
		}
		if len(said) < 2 || at[0] < progressInterval || at[1] < at[0]+progressInterval || !strings.HasPrefix(said[0], "Reading numbers.txt: ") || !strings.HasSuffix(said[0], "% of 4 MB.") {
			t.Errorf("it says %q at %v", said, at)
		}
	})
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var said []string
		held := func(*os.File) error { return errHeld }
		_, err := Open(t.Context(), dir, Options{flock: held, lockWait: 5 * time.Second, Progress: func(line string) { said = append(said, line) }})
		if want := "Waiting for another server to end: data directory " + dir + " is in use."; !errors.Is(err, ErrLocked) || !slices.Equal(said, []string{want, want}) {
			t.Errorf("%v; it says %q", err, said)
		}
	})
}

func TestLastUnbroken(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"":                            0,
		"one\ntwo\n":                  2,
		"one\nthree\ntwo\n":           3,
		"one\nthree\ntwo\nfour":       3,
		counted(1, 999) + "x\n":       999,
		counted(1, 5) + counted(5, 7): 7,
	} {
		if got, err := LastUnbroken(filepath.Join(dirWith(t, text), Name)); err != nil || got != want {
			t.Errorf("%.40q has the numbers up to %d, %v; want %d", text, got, err, want)
		}
	}
	if _, err := LastUnbroken(filepath.Join(t.TempDir(), Name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: %v", err)
	}
	if _, err := LastUnbroken(t.TempDir()); err == nil {
		t.Error("a directory has numbers")
	}
}

// failingReader fails for offsets from at on.
type failingReader struct {
	io.ReaderAt
	at int64
}

var errRead = errors.New("input/output error")

func (r failingReader) ReadAt(b []byte, offset int64) (int, error) {
	if offset+int64(len(b)) > r.at {
		return 0, errRead
	}
	return r.ReaderAt.ReadAt(b, offset)
}

// A part of a file that cannot be read is an error, wherever it is, and not the end of the
// count.
func TestAFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	text := counted(1, 100_000)
	size := int64(len(text))
	for _, at := range []int64{0, 1, size / 2, size - 1} {
		if got, err := readPrefix(failingReader{strings.NewReader(text), at}, size, func(int64) {}); !errors.Is(err, errRead) {
			t.Errorf("unreadable from byte %d on, it has %d lines, %v", at, got.lines, err)
		}
	}
	if _, err := mismatchAfter(failingReader{strings.NewReader("one\nx\n"), 5}, 6, prefix{1, 4}); !errors.Is(err, errRead) {
		t.Errorf("the line that differs: %v", err)
	}
}

// Lines of about the length at which they are shortened.
func TestShortenedLines(t *testing.T) {
	t.Parallel()
	for length, want := range map[int]string{
		79: strings.Repeat("x", 79),
		80: strings.Repeat("x", 80),
		81: strings.Repeat("x", 80) + "…",
	} {
		for _, end := range []string{"", "\n", "\nmore\n"} {
			text := strings.Repeat("x", length) + end
			got, err := mismatchAfter(strings.NewReader(text), int64(len(text)), prefix{})
			if err != nil || got.Got != want || got.Torn != (end == "" && length <= 80) {
				t.Errorf("%d characters and %q: %q, torn %v, %v", length, end, got.Got, got.Torn, err)
			}
		}
	}
}
