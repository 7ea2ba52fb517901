package numbersfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"counting/server/spelling"
)

func TestOpenFindsOutWhereTheCountIs(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("\x00", 5000)
	long := strings.Repeat("x", 200_000)
	tests := []struct {
		name, text string
		last       int64
		keep       string // what is left of the file, if not all
		bad        int64  // the bad line
	}{
		{name: "an_empty_file", text: ""},
		{name: "an_unbroken_count", text: counted(1, 2000), last: 2000},
		{name: "a_torn_last_line", text: "one\ntwo\nthr", last: 2, keep: "one\ntwo\n"},
		{name: "a_last_line_that_lacks_its_newline_alone", text: "one\ntwo\nthree", last: 2, keep: "one\ntwo\n"},
		{name: "a_first_line_that_is_torn", text: "on", keep: ""},
		{name: "nothing_but_zero_bytes", text: zeros, keep: ""},
		{name: "zero_bytes_at_the_end", text: "one\ntwo\n" + zeros, last: 2, keep: "one\ntwo\n"},
		{name: "a_line_that_ends_in_zero_bytes", text: "one\ntw" + zeros, last: 1, keep: "one\n"},
		{name: "zero_bytes_with_whole_lines_behind_them", text: "one\n" + zeros + "ee\nfour\n", last: 1, keep: "one\n"},
		{name: "zero_bytes_with_a_torn_line_behind_them", text: "one\n" + zeros + "\nfour\nfi", last: 1, keep: "one\n"},
		{name: "garbage_without_a_newline", text: "one\n\xff\xfe" + long, last: 1, keep: "one\n"},

		{name: "duplicates", text: "one\ntwo\ntwo\nthree\n", last: 3, bad: 3},
		{name: "a_gap", text: "one\ntwo\nfour\nfive\n", last: 2, bad: 3},
		{name: "a_duplicate_and_a_gap_that_cancel_out", text: "one\none\nthree\n", last: 1, bad: 2},
		{name: "lines_out_of_order", text: "one\ntwo\nfour\nthree\nsix\nfive\neight\nseven\n", last: 8, bad: 3},
		{name: "a_restart", text: counted(1, 100) + counted(1, 70), last: 100, bad: 101},
		{name: "a_restart_that_got_further", text: counted(1, 70) + counted(1, 100), last: 100, bad: 71},
		{name: "a_count_that_starts_in_the_middle", text: counted(24, 107), bad: 1},
		{name: "a_number_far_off", text: "one\nnine quintillion\ntwo\n", last: 2, bad: 2},
		{name: "windows_line_ends", text: "one\r\ntwo\r\nthree\r\n", last: 3, bad: 1},
		{name: "a_byte_order_mark", text: "\ufeffone\ntwo\nthree\n", last: 3, bad: 1},
		{name: "a_byte_order_mark_and_windows_line_ends", text: "\ufeffone\r\ntwo\r\n", last: 2, bad: 1},
		{name: "a_byte_order_mark_in_the_middle", text: "one\n\ufefftwo\nthree\n", last: 1, bad: 2},
		{name: "a_byte_order_mark_alone", text: "\ufeff\n", last: 0, bad: 1},
		{name: "glued_lines", text: "one\ntwo\nthrfour\nfive\n", last: 2, bad: 3},
		{name: "fractions_and_negatives", text: "one\none point five\nminus seven\nzero\ntwo\n", last: 2, bad: 2},
		{name: "empty_lines", text: "\none\n\ntwo\n", last: 2, bad: 1},
		{name: "a_line_that_is_too_long", text: "one\n" + long + "\ntwo\n", last: 2, bad: 2},
		{name: "a_long_line_that_ends_as_a_number", text: "one\n" + strings.Repeat("x", 64<<10) + "two\n", last: 1, bad: 2},
		{name: "zero_bytes_in_an_old_line", text: "one\nthree\n\x00\x00\ntwo\n", last: 3, bad: 2},
		{name: "duplicates_and_a_torn_last_line", text: "one\none\ntwo\nthr", last: 2, keep: "one\none\ntwo\n", bad: 2},
		{name: "duplicates_and_a_long_torn_line", text: "one\none\ntwo\n" + long, last: 2, keep: "one\none\ntwo\n", bad: 2},
		{name: "duplicates_and_zero_bytes_at_the_end", text: "one\none\ntwo\n" + zeros, last: 2, keep: "one\none\ntwo\n", bad: 2},
		{name: "many_numbers_behind_a_duplicate", text: "one\n" + counted(1, 20_000), last: 20_000, bad: 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := dirWith(t, test.text)
			f := mustOpen(t, dir, Options{})
			got := f.Recovery()
			keep := test.text
			if test.keep != "" || test.last == 0 && test.bad == 0 {
				keep = test.keep
			}
			if text := content(t, filepath.Join(dir, Name)); text != keep {
				t.Errorf("the file holds %.200q, want %.200q", text, keep)
			}
			bad := int64(0)
			if got.Bad != nil {
				bad = got.Bad.Line
			}
			if cut := int64(len(test.text) - len(keep)); got.Last != test.last || bad != test.bad || got.Cut != cut {
				t.Errorf("%v\nwant last %d, bad line %d, cut %d", got, test.last, test.bad, cut)
			}
			if got.Cut == 0 {
				if got.Copy != "" {
					t.Errorf("there is a copy %s of nothing", got.Copy)
				}
			} else if text := content(t, got.Copy); keep+text != test.text {
				t.Errorf("the copy holds %.200q", text)
			}
			if strings.ContainsAny(got.String(), "\n\r\x00") {
				t.Errorf("%q is not one printable line", got.String())
			}

			run := start(f)
			count(run.File, test.last+1, test.last+3)
			if err := f.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if text := content(t, filepath.Join(dir, Name)); text != keep+counted(test.last+1, test.last+3) {
				t.Errorf("three numbers later the file holds %.200q", text)
			}
			again := mustOpen(t, dir, Options{}).Recovery()
			// A later line may belong to the count once the gap before it is closed.
			if again.Last < test.last+3 || again.Cut > 0 || (again.Bad == nil) != (test.bad == 0) {
				t.Errorf("after a restart: %v", again)
			}
		})
	}
}

func TestOpenTakesAFileThatWasCutAnywhere(t *testing.T) {
	t.Parallel()
	whole, last := counted(1, 1101), int64(1101)
	dir := t.TempDir()
	path := filepath.Join(dir, Name)
	for size := len(whole); size >= len(counted(1, 1098)); size-- {
		if err := os.WriteFile(path, []byte(whole[:size]), 0o666); err != nil {
			t.Fatal(err)
		}
		for len(counted(1, last)) > size {
			last--
		}
		f := mustOpen(t, dir, Options{})
		if got := f.Recovery(); got.Last != last || got.Bad != nil || content(t, path) != counted(1, last) {
			t.Fatalf("cut to %d bytes: %v, want the count to %d", size, got, last)
		}
		if err := f.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCopiesOfWhatWasCutAreNeverOverwritten(t *testing.T) {
	t.Parallel()
	dir := dirWith(t, "")
	path := filepath.Join(dir, Name)
	for i, tail := range []string{"on", "o", "tw"} {
		if err := os.WriteFile(path, []byte(tail), 0o666); err != nil {
			t.Fatal(err)
		}
		f := mustOpen(t, dir, Options{})
		f.Close(t.Context())
		want := path + ".cut-" + string(rune('1'+i))
		if got := f.Recovery().Copy; got != want {
			t.Errorf("the copy is %s, want %s", got, want)
		}
	}
	if got := content(t, path+".cut-1"); got != "on" {
		t.Errorf("the first copy holds %q", got)
	}
}

// If the copy cannot be written, the server still starts when only the beginning of
// the next line is lost; other bytes are not discarded.
func TestWhatCannotBeCopiedIsOnlyCutIfItIsTheBeginningOfALine(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("\x00", 1<<20)
	for text, cut := range map[string]bool{
		"one\n" + zeros: true, "one\n" + zeros + "\x00": false, "one\none\ntw": false,
		"one\ntw": true, "one\ntwo": true, "one\n\x00\x00": true, "one\ntw\x00": true,
		"one\nthr": false, "one\ntwo three": false, "one\nfour\nfi": false, "\xfftwo": false,
	} {
		dir := dirWith(t, text)
		path := filepath.Join(dir, Name)
		o := Options{syncDir: func(*os.File) error { return syscall.EIO }} // in place of a full disk
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		got, _, err := recovering{o, file, appended{file}, nil}.recover()
		if cut != (err == nil) {
			t.Errorf("%.20q: %v, %v, want that it is cut: %v", text, got, err, cut)
		}
		if left := content(t, path); !cut && left != text || cut && left != "one\n" {
			t.Errorf("%.20q became %.20q", text, left)
		}
		if cut && !strings.Contains(got.String(), "were cut off and are lost: input/output error") {
			t.Errorf("the log says %q", got.String())
		}
		if !cut {
			checkContains(t, err, "cannot be copied before they are cut off: input/output error")
		}
	}
}

// A file that could be appended to but not truncated got one more copy of its tail
// with each start.
func TestAFileThatCannotBeCutOffIsCopiedOnce(t *testing.T) {
	t.Parallel()
	dir := dirWith(t, "one\ntw")
	path := filepath.Join(dir, Name)
	var done []string
	o := Options{
		lockWait: 1, // each Open that fails must release the file
		wrap: func(file *os.File) disk {
			return &faulty{File: file, truncate: func() error { done = append(done, "cut"); return syscall.EPERM }}
		},
		syncDir: func(d *os.File) error { done = append(done, "sync "+filepath.Base(d.Name())); return nil },
	}
	for range 5 {
		_, err := Open(t.Context(), dir, o)
		checkContains(t, err, "operation not permitted")
	}
	copies, err := filepath.Glob(path + ".cut-*")
	if err != nil || len(copies) != 1 || content(t, copies[0]) != "tw" {
		t.Errorf("the copies are %q, %v", copies, err)
	}
	if want := []string{"sync " + filepath.Base(dir), "cut"}; !slices.Equal(done[:2], want) || len(done) != 10 {
		t.Errorf("it did %q, want %q first", done, want)
	}
	if got := content(t, path); got != "one\ntw" {
		t.Errorf("the file holds %q", got)
	}
	if got := mustOpen(t, dir, Options{}).Recovery(); got.Copy != copies[0] || got.Last != 1 {
		t.Errorf("once it can be cut off: %v", got)
	}
}

func FuzzOpenLeavesWholeLinesAndGoesOn(f *testing.F) {
	for _, text := range []string{"", "one\ntwo\n", "one\ntw", "one\n\x00\x00", "two\r\none\r\n", "one\none\n\nthree\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := dirWith(t, string(text))
		file := mustOpen(t, dir, Options{})
		got := file.Recovery()
		left := content(t, filepath.Join(dir, Name))
		if !strings.HasPrefix(string(text), left) || left != "" && !strings.HasSuffix(left, "\n") {
			t.Fatalf("%q became %q", text, left)
		}
		// The slow and simple way to compute the expected result.
		seen := map[int64]bool{}
		for line := range strings.Lines(strings.TrimPrefix(left, byteOrderMark)) {
			if n, ok := spelling.Parse(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")); ok {
				seen[n] = true
			}
		}
		last := int64(0)
		for seen[last+1] {
			last++
		}
		if exact := left == counted(1, last); got.Last != last || (got.Bad == nil) != exact {
			t.Errorf("%q: %v, want the count to %d, exact %v", text, got, last, exact)
		}
		file.Close(t.Context())
	})
}

func TestRecoveryString(t *testing.T) {
	t.Parallel()
	bad := &Mismatch{Line: 3, Got: "four", Want: "three"}
	for want, r := range map[string]Recovery{
		"it is empty":                    {},
		"the numbers up to 7 are in it":  {Last: 7},
		"the number 1 is not in it, but": {Bad: bad},
		"the numbers up to 2 are in it, but it is not an unbroken count: line 3 is \"four\", not \"three\"; it is kept as it is": {Last: 2, Bad: bad},
		"the numbers up to 2 are in it; it was read-only, so it was replaced with a copy":                                        {Last: 2, Replaced: true},
		"the numbers up to 2 are in it; 5 bytes after the last complete line were cut off, a copy is in f.cut-1":                 {Last: 2, Cut: 5, Copy: "f.cut-1"},
		"the numbers up to 2 are in it; 5 bytes after the last complete line were cut off and are lost: no space":                {Last: 2, Cut: 5, CopyErr: errors.New("no space")},
	} {
		if got := r.String(); got != want && !(strings.HasSuffix(want, "but") && strings.HasPrefix(got, want)) {
			t.Errorf("%+v is %q, want %q", r, got, want)
		}
	}
}

func TestReading(t *testing.T) {
	t.Parallel()
	for want, text := range map[string]string{
		"Reading f: 25% of 8 MB.": reading("f", 2e6, 8e6)(),
		"Reading f: 0% of 0 MB.":  reading("f", 0, 0)(),
	} {
		if text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
}

// Only a regular file with the same content is the copy of what was cut off.
func TestSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "copy")
	if err := os.WriteFile(path, []byte("tw\x00"), 0o666); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"tw\x00": true, "tw": false, "tw\x00\x00": false, "tx\x00": false, "tw\x01": false, "xw\x00": false, "": false} {
		r := strings.NewReader("one\n" + text)
		if got := same(path, io.NewSectionReader(r, 4, int64(len(text)))); got != want {
			t.Errorf("%q is the same: %v", text, got)
		}
	}
	for _, other := range []string{dir, filepath.Join(dir, "none"), os.DevNull} {
		if same(other, io.NewSectionReader(strings.NewReader(""), 0, 0)) {
			t.Errorf("%s is the same as nothing", other)
		}
	}
}

// Numbers beyond those that a file of this size can hold in order are not looked at.
func TestLastUnbrokenOfFarNumbers(t *testing.T) {
	t.Parallel()
	for n := int64(1); n <= 200; n++ {
		text := spelling.Spell(n) + "\n"
		want := int64(0)
		if n == 1 {
			want = 1
		}
		got, err := lastUnbroken(io.NewSectionReader(strings.NewReader(text), 0, int64(len(text))), 0, func(int64) {})
		if err != nil || got != want {
			t.Errorf("%q has the numbers up to %d, %v", text, got, err)
		}
	}
}

// Progress is reported for each megabyte.
func TestProgressOfLastUnbroken(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("not a number\n", 300_000)
	var at []int64
	if _, err := lastUnbroken(io.NewSectionReader(strings.NewReader(text), 0, int64(len(text))), 0, func(done int64) { at = append(at, done) }); err != nil {
		t.Fatal(err)
	}
	if len(at) != len(text)>>20 {
		t.Fatalf("it is reported %d times for %d bytes", len(at), len(text))
	}
	for i, done := range at {
		if least := int64(i+1) << 20; done < least || done > least+20 {
			t.Errorf("report %d is of %d bytes", i, done)
		}
	}
}
