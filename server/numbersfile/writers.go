package numbersfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrChanged is Run's error when numbers.txt is no longer the file that Run writes
// to, or has another size. What Run has written may be missing then; opening the
// file again determines the end of the count.
var ErrChanged = errors.New("was changed, replaced or deleted under the running server; restart it to go on from what is there")

// A writer puts text, whole lines, at the end of the file.
type writer interface {
	// write returns how much of the text is durably in the file. After an attempt
	// that failed and left nothing in the file it calls retry, which waits, and
	// returns the error if retry returns false.
	write(text []byte, retry func(error) bool) (n int, err error)
	io.Closer
}

// disk is the open file of a durable writer. Tests replace it to inject faults.
type disk interface {
	io.WriteCloser
	io.Seeker // to determine its size
	Truncate(size int64) error
	Sync() error
}

// appended is a file that was opened for appending, as a disk.
type appended struct{ *os.File }

func (a appended) Truncate(size int64) error { return truncate(a.File, size) }

// durable is the writer of the default mode. It writes and syncs all of the text or
// leaves none of it in the file, unless the file or its disk can no longer be
// trusted. Each error that it returns is final.
type durable struct {
	disk disk
	sync func(disk) error
	path string
	info os.FileInfo // which file disk is
	size int64       // of the committed lines
	torn bool        // the file may hold more than the committed lines
}

func (d *durable) write(text []byte, again func(error) bool) (int, error) {
	for {
		final, err := d.attempt(text)
		if err == nil {
			break
		}
		if final || !again(err) {
			return 0, err
		}
	}
	if err := d.sync(d.disk); err != nil {
		return 0, fmt.Errorf("sync %s: %w", d.path, err)
	}
	d.size += int64(len(text))
	// Was it still the file that people see? Only then may it be acked.
	if err := d.unchanged(); err != nil {
		return 0, errors.Join(err, d.takeBack(int64(len(text))))
	}
	return len(text), nil
}

// takeBack cuts off the n bytes that were written last if they are at another place
// than after the committed lines: somebody changed the file just before the write.
// At that place they would make of a shorter count one that is broken.
func (d *durable) takeBack(n int64) error {
	written, err := d.disk.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	end, err := d.disk.Seek(0, io.SeekEnd)
	if err != nil || end != written || end == d.size {
		return err
	}
	return d.disk.Truncate(end - n)
}

// attempt writes the text, or truncates the file to its former size.
func (d *durable) attempt(text []byte) (final bool, err error) {
	if err := d.truncateTail(); err != nil {
		return false, err
	}
	// A file that has replaced this one is detected after the write: nothing is
	// acked then, and nothing is written into the new file.
	if size, err := d.disk.Seek(0, io.SeekEnd); err != nil {
		return true, err
	} else if size != d.size {
		return true, fmt.Errorf("%s %w", d.path, ErrChanged)
	}
	n, err := d.disk.Write(text)
	if err == nil && n < len(text) {
		err = &os.PathError{Op: "write", Path: d.path, Err: io.ErrShortWrite}
	}
	if err != nil {
		d.torn = true
		return false, errors.Join(err, d.truncateTail())
	}
	return false, nil
}

func (d *durable) truncateTail() error {
	if !d.torn {
		return nil
	}
	if err := d.disk.Truncate(d.size); err != nil {
		return err
	}
	d.torn = false
	return nil
}

func (d *durable) unchanged() error {
	same, size, err := compareFile(d.path, d.info)
	if err != nil {
		return fmt.Errorf("%s %w: %w", d.path, ErrChanged, err)
	}
	if !same || size != d.size {
		return fmt.Errorf("%s %w", d.path, ErrChanged)
	}
	return nil
}

func (d *durable) Close() error { return d.disk.Close() }

// faithful is the writer of the faithful mode: it opens, appends and closes, as
// the original does, and syncs nothing. An error is not final.
type faithful struct {
	path  string
	flock func(*os.File) error
}

func (f faithful) write(text []byte, _ func(error) bool) (int, error) {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return 0, err
	}
	// Another server may use the file under another name, in default mode. It would
	// hold the lock; without lock support no such server can run.
	if err := f.flock(file); errors.Is(err, errHeld) {
		file.Close()
		return 0, fmt.Errorf("%s %w", f.path, ErrLocked)
	}
	n, err := file.Write(text)
	return bytes.LastIndexByte(text[:n], '\n') + 1, errors.Join(err, file.Close())
}

func (faithful) Close() error { return nil }
