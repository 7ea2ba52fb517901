package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"counting/server/spelling"
)

// longFile measures the time to start on a file of many lines that is in the page cache, as
// after a restart of the server.
func (b *bench) longFile() error {
	if len(b.measured(goServer)) == 0 {
		return nil
	}
	for _, file := range []struct {
		lines int64
		most  float64
	}{{1_000_000, 0.1}, {10_000_000, 0.5}} {
		path, err := b.counted(file.lines)
		if err != nil {
			return err
		}
		took := make(series)
		for range 2*b.reps - 1 {
			d, err := b.startingOn(goServer, filepath.Dir(path), "/ready")
			if err != nil {
				return err
			}
			took.add(goServer, d.Seconds())
		}
		v := took.median()
		b.table.row(fmt.Sprintf("start to the first 200 on /ready, %d lines, in the page cache", file.lines), seconds, v, nil, v.below(file.most, " s", 1))
	}
	return nil
}

// coldFile measures the same for a file that is not in the page cache, as after a restart of
// the machine, and compares it with reading the file once.
func (b *bench) coldFile() error {
	if len(b.measured(goServer)) == 0 {
		return nil
	}
	const lines = 10_000_000
	path, err := b.counted(lines)
	if err != nil {
		return err
	}
	var starts, reads, warm []float64
	for range 2*b.reps - 1 {
		read, err := reading(path, true)
		if err != nil {
			return err
		}
		again, err := reading(path, false)
		if err != nil {
			return err
		}
		reads, warm = append(reads, read), append(warm, again)
		if err := evictFile(path); err != nil {
			return err
		}
		start, err := b.startingOn(goServer, filepath.Dir(path), "/ready")
		if err != nil {
			return err
		}
		starts = append(starts, start.Seconds())
	}
	v, read := values{goServer: percentile(starts, 50)}, percentile(reads, 50)
	b.table.row(fmt.Sprintf("start to the first 200 on /ready, %d lines, not in the page cache", lines), seconds, v, nil, v.below(1.5, " × reading the file once", read))
	b.notes = append(b.notes, fmt.Sprintf("Reading the file of %d lines once, between these starts, took %s, and %s when it was in the page cache.",
		lines, seconds(read), seconds(percentile(warm, 50))))
	return nil
}

// reading returns how many seconds it takes to read the file once. If fromDisk is true, it
// first removes the file from the page cache.
func reading(path string, fromDisk bool) (float64, error) {
	if fromDisk {
		if err := evictFile(path); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	buffer := make([]byte, 1<<20)
	for err == nil {
		_, err = file.Read(buffer)
	}
	if err != io.EOF {
		return 0, err
	}
	return time.Since(began).Seconds(), nil
}

func evictFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return evict(file)
}

// counted returns the path of an unbroken count of that many lines, which is made once in a
// run.
func (b *bench) counted(lines int64) (string, error) {
	path := filepath.Join(b.dir, "lines", strconv.FormatInt(lines, 10), "numbers.txt")
	if verify(filepath.Join(b.bin, "server"), path, lines) == nil {
		return path, nil
	}
	return path, write(path, lines)
}

// write writes an unbroken count.
func write(path string, lines int64) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	w := bufio.NewWriterSize(file, 1<<20)
	var line []byte
	for n := int64(1); n <= lines; n++ {
		line = append(spelling.Append(line[:0], n), '\n')
		w.Write(line)
	}
	return errors.Join(w.Flush(), file.Sync())
}
