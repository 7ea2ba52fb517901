package numbersfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"os"
	"strings"
	"time"

	"counting/server/spelling"
)

// Recovery is what was found in numbers.txt, and how the file was repaired.
type Recovery struct {
	// Last is the largest k for which all of 1…k are in the file: the count
	// continues with Last+1. It is 0 for an empty file and in faithful mode.
	Last int64
	// At is when the file was last written before it was opened; zero if it was empty.
	At time.Time
	// Bad is the first line that is not the spelling of its number, or nil if
	// the file is exactly 1…Last. A file with a bad line is left as it is.
	Bad *Mismatch
	// Cut is how many bytes were cut off the end: an incomplete last line, or
	// what a crash of the machine left of one.
	Cut int64
	// Copy is the path of the file that holds what was cut off; "" if nothing
	// was cut off, or if the copy could not be written: then CopyErr says why.
	Copy    string
	CopyErr error
	// Replaced reports that the file could be read but not written, so that it
	// was replaced with a copy that can be written.
	Replaced bool
}

// String is one line for the log.
func (r Recovery) String() string {
	text := fmt.Sprintf("the numbers up to %d are in it", r.Last)
	switch {
	case r.Last == 0 && r.Bad == nil:
		text = "it is empty"
	case r.Last == 0:
		text = "the number 1 is not in it"
	}
	if r.Bad != nil {
		text += fmt.Sprintf(", but it is not an unbroken count: %v; it is kept as it is", r.Bad)
	}
	if r.Replaced {
		text += "; it was read-only, so it was replaced with a copy"
	}
	switch {
	case r.CopyErr != nil:
		text += fmt.Sprintf("; %d bytes after the last complete line were cut off and are lost: %v", r.Cut, r.CopyErr)
	case r.Cut > 0:
		text += fmt.Sprintf("; %d bytes after the last complete line were cut off, a copy is in %s", r.Cut, r.Copy)
	}
	return text
}

// replaceWithCopy replaces a file that this user can read but not write with a copy
// that this user owns, if the directory permits it: a server that does not run as
// root can continue the file of the original, which did.
//
// The replacement is atomic.
func replaceWithCopy(path string) (err error) {
	before, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !before.Mode().IsRegular() {
		return &os.PathError{Op: "replace with a copy", Path: path, Err: errors.New("not a regular file")}
	}
	old, err := os.Open(path)
	if err != nil {
		return err
	}
	defer old.Close()
	name := path + ".new"
	// A process that was killed may have left one. No other server writes it: the
	// directory is locked.
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, old)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(name, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

// recovering is what is needed to check and repair the file.
type recovering struct {
	Options
	file *os.File
	disk disk     // to truncate file
	dir  *os.File // to sync the names of copies
}

// recover determines the end of the count and cuts off an incomplete last line. It
// returns the file's size.
func (o recovering) recover() (r Recovery, size int64, err error) {
	file := o.file
	info, err := file.Stat()
	if err != nil {
		return r, 0, err
	}
	size = info.Size()
	good, err := readPrefix(file, size, o.progress(size))
	if err != nil {
		return r, 0, err
	}
	r.Last = good.lines
	end, err := wholeEnd(file, size, good)
	if err != nil {
		return r, 0, err
	}
	if r.Cut = size - end; r.Cut > 0 {
		if r.Copy, r.CopyErr = o.backupTail(io.NewSectionReader(file, end, r.Cut)); r.CopyErr != nil && !o.remnant(end, r.Cut, good) {
			return r, 0, fmt.Errorf("%s has %d bytes after its last complete line, which cannot be copied before they are cut off: %w", file.Name(), r.Cut, r.CopyErr)
		}
		if err := o.disk.Truncate(end); err != nil {
			return r, 0, err
		}
	}
	if r.Bad, err = mismatchAfter(file, end, good); err != nil {
		return r, 0, err
	}
	if r.Bad != nil {
		rest := io.NewSectionReader(file, good.bytes, end-good.bytes)
		if r.Last, err = lastUnbroken(rest, good.lines, o.progress(rest.Size())); err != nil {
			return r, 0, err
		}
	}
	return r, end, nil
}

// progress returns a function that takes how many bytes of size have been read.
func (o recovering) progress(size int64) func(done int64) {
	report := o.throttled()
	return func(done int64) { report(reading(o.file.Name(), done, size)) }
}

// remnant reports whether the bytes from end on are only the beginning of the next
// line, or what a crash of the machine left of it.
func (o recovering) remnant(end, size int64, good prefix) bool {
	const most = 1 << 20 // far more than a crash leaves
	if end != good.bytes || size > most {
		return false
	}
	tail := make([]byte, size)
	if _, err := o.file.ReadAt(tail, end); err != nil {
		return false
	}
	return strings.HasPrefix(spelling.Spell(good.lines+1), string(bytes.TrimRight(tail, "\x00")))
}

// wholeEnd returns where the file's last complete line ends. A NUL byte in the line
// after the prefix is what a crash of the machine leaves in place of bytes that
// were never written to the disk: that line and everything after it is cut off.
func wholeEnd(file io.ReaderAt, size int64, good prefix) (int64, error) {
	rest := bufio.NewReader(io.NewSectionReader(file, good.bytes, size-good.bytes))
	for {
		c, err := rest.ReadByte()
		if err == io.EOF || c == 0 && err == nil {
			return good.bytes, nil
		}
		if err != nil {
			return 0, err
		}
		if c == '\n' {
			break
		}
	}
	// There is a newline after the prefix, so the search for the last one ends.
	buf := make([]byte, 64<<10)
	for end := size; ; {
		start := max(good.bytes, end-int64(len(buf)))
		chunk := buf[:end-start]
		if n, err := file.ReadAt(chunk, start); n < len(chunk) {
			return 0, err
		}
		if i := bytes.LastIndexByte(chunk, '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
}

// backupTail writes r to the first of numbers.txt.cut-1, -2, … that does not exist
// yet, and syncs it and its name. It reuses one with the same content, which is
// left if the file could not be truncated after the copy was written.
func (o recovering) backupTail(r *io.SectionReader) (path string, err error) {
	for n := 1; ; n++ {
		path = fmt.Sprintf("%s.cut-%d", o.file.Name(), n)
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			if same(path, r) {
				return path, o.syncDir(o.dir)
			}
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = io.Copy(file, io.NewSectionReader(r, 0, r.Size()))
		if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
			err = o.syncDir(o.dir)
		}
		if err != nil {
			return "", errors.Join(err, os.Remove(path))
		}
		return path, nil
	}
}

// same reports whether the file at path has the content of r.
func same(path string, r *io.SectionReader) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != r.Size() {
		return false
	}
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	a, b := bufio.NewReader(file), bufio.NewReader(io.NewSectionReader(r, 0, r.Size()))
	for {
		x, errA := a.ReadByte()
		y, errB := b.ReadByte()
		if x != y || errA != errB {
			return false
		}
		if errA == io.EOF {
			return true
		}
		if errA != nil {
			return false
		}
	}
}

const byteOrderMark = "\ufeff"

// lastUnbroken returns the largest k for which all of 1…k are in the file, where
// 1…known precede rest. It reads what the original wrote: lines in any order, and
// lines that do not spell a number. An editor may have put a byte order mark at the
// start. progress is called with the number of bytes read.
func lastUnbroken(rest *io.SectionReader, known int64, progress func(done int64)) (int64, error) {
	// No line is shorter than "one\n", so no number beyond these can matter.
	seen := make([]uint64, rest.Size()/4/64+1)
	lines := bufio.NewReaderSize(rest, 64<<10)
	n := known
	var guess []byte
	read := int64(0)
	if known == 0 {
		if mark, _ := lines.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
			lines.Discard(len(mark))
		}
	}
	for within := false; ; { // within a line too long to spell a number
		line, err := lines.ReadSlice('\n')
		if err == io.EOF {
			break
		}
		if err != nil && err != bufio.ErrBufferFull {
			return 0, err
		}
		if read += int64(len(line)); read>>20 != (read-int64(len(line)))>>20 { // each MB
			progress(read)
		}
		skip := within || err != nil
		within = err != nil
		if skip {
			continue
		}
		line = bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))
		guess = spelling.Append(guess[:0], n+1)
		if bytes.Equal(line, guess) {
			n++
		} else if parsed, ok := spelling.Parse(string(line)); ok {
			n = parsed
		} else {
			continue
		}
		if i := n - known - 1; i >= 0 && i < int64(len(seen))*64 {
			seen[i/64] |= 1 << (i % 64)
		}
	}
	for _, word := range seen {
		run := bits.TrailingZeros64(^word)
		known += int64(run)
		if run < 64 {
			break
		}
	}
	return known, nil
}
