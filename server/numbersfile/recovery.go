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

	"counting/server/spelling"
)

// Recovery is what Open found in numbers.txt and did about it.
type Recovery struct {
	// Last is the largest k for which all of 1…k are in the file: the count
	// goes on with Last+1. It is 0 in an empty file and in faithful mode.
	Last int64
	// Bad is the first line that is not the spelling of its number, or nil if
	// the file is 1…Last and nothing else. A file with a bad line is kept as
	// it is.
	Bad *Mismatch
	// Cut is how many bytes were cut off the end: a torn last line, or what a
	// crash of the machine left of one.
	Cut int64
	// Copy is the path of the file that holds what was cut off; "" if nothing
	// was, or if it could not be written, for which CopyErr is the reason.
	Copy    string
	CopyErr error
	// Replaced says that the file could be read but not written, and that a
	// copy of it, which can, has its name now.
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
		text += fmt.Sprintf(", but it is no unbroken count: %v; it is kept as it is", r.Bad)
	}
	if r.Replaced {
		text += "; it could only be read, so a copy took its place"
	}
	switch {
	case r.CopyErr != nil:
		text += fmt.Sprintf("; %d bytes that were no whole line were cut off and are lost: %v", r.Cut, r.CopyErr)
	case r.Cut > 0:
		text += fmt.Sprintf("; %d bytes that were no whole line were cut off, a copy is in %s", r.Cut, r.Copy)
	}
	return text
}

// takeOver puts a copy that this user owns in the place of a file that this user
// can read but not write, if the directory lets it. So a server that does not
// run as root takes over what the original, which did, has left.
//
// At every moment one of the two has the name, and it is whole.
func takeOver(path string) (err error) {
	before, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !before.Mode().IsRegular() {
		return &os.PathError{Op: "take over", Path: path, Err: errors.New("not a regular file")}
	}
	old, err := os.Open(path)
	if err != nil {
		return err
	}
	defer old.Close()
	name := path + ".new"
	// One may be there from an attempt that was killed. No other server is at
	// it: the directory is locked.
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

// recoverFile finds out where the count is and makes the file end with a whole
// line. It returns the file's size.
func recoverFile(file *os.File) (r Recovery, size int64, err error) {
	info, err := file.Stat()
	if err != nil {
		return r, 0, err
	}
	size = info.Size()
	good, err := readPrefix(file, size)
	if err != nil {
		return r, 0, err
	}
	r.Last = good.lines
	end, err := wholeEnd(file, size, good)
	if err != nil {
		return r, 0, err
	}
	if r.Cut = size - end; r.Cut > 0 {
		r.Copy, r.CopyErr = keep(file.Name()+".cut", io.NewSectionReader(file, end, r.Cut))
		if err := truncate(file, end); err != nil {
			return r, 0, err
		}
	}
	if r.Bad, err = mismatchAfter(file, end, good); err != nil {
		return r, 0, err
	}
	if r.Bad != nil {
		rest := io.NewSectionReader(file, good.bytes, end-good.bytes)
		if r.Last, err = lastUnbroken(rest, good.lines); err != nil {
			return r, 0, err
		}
	}
	return r, end, nil
}

// wholeEnd returns where the file's last whole line ends. A line behind the
// prefix that holds a NUL byte is what a crash of the machine leaves of a line
// whose bytes never came to the disk, and so is all behind it.
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
	// There is a newline behind the prefix, so the search for the last ends.
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

// keep writes r to the first of name-1, name-2, … that does not exist yet.
func keep(name string, r io.Reader) (path string, err error) {
	for n := 1; ; n++ {
		path = fmt.Sprintf("%s-%d", name, n)
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = io.Copy(file, r)
		if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
			return "", errors.Join(err, os.Remove(path))
		}
		return path, nil
	}
}

// lastUnbroken returns the largest k for which all of 1…k are in the file,
// where 1…known are in front of rest. It is for what the original left behind:
// lines in any order, and some that spell no number.
func lastUnbroken(rest *io.SectionReader, known int64) (int64, error) {
	// No line is shorter than "one\n", so no number beyond these can matter.
	seen := make([]uint64, rest.Size()/4/64+1)
	lines := bufio.NewReaderSize(rest, 64<<10)
	n := known
	var guess []byte
	for within := false; ; { // within a line too long to spell a number
		line, err := lines.ReadSlice('\n')
		if err == io.EOF {
			break
		}
		if err != nil && err != bufio.ErrBufferFull {
			return 0, err
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
