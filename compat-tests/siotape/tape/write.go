package tape

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"sync"
	"time"
)

// Write writes r in the format that Read reads.
func (r *Recording) Write(to io.Writer) error {
	out := bufio.NewWriter(to)
	enc := encoder(out)
	if err := enc.Encode(r.Header); err != nil {
		return err
	}
	for _, l := range r.Lines {
		if err := enc.Encode(l.escaped()); err != nil {
			return err
		}
	}
	if r.End != nil && r.Version > 1 {
		if err := enc.Encode(map[string]*End{"end": r.End}); err != nil {
			return err
		}
	}
	return out.Flush()
}

func encoder(to io.Writer) *json.Encoder {
	enc := json.NewEncoder(to)
	enc.SetEscapeHTML(false)
	return enc
}

// Partial is the suffix of the name of an unfinished file.
const Partial = ".part"

// flushEvery bounds how much of a recording is lost if the recorder is killed.
const flushEvery = 250 * time.Millisecond

// A Writer writes a recording while it is made. Its file is NAME.part, which only the user
// can read, until Finish renames it. Its methods may be called concurrently.
type Writer struct {
	name string
	file *os.File
	stop chan struct{}
	done sync.WaitGroup

	mu  sync.Mutex // guards what follows
	out *bufio.Writer
	enc *json.Encoder
	err error // the first write error
}

// Create creates a recording. An older file with the name is kept until Finish.
func Create(name string, h Header) (*Writer, error) {
	f, err := os.OpenFile(name+Partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	w := &Writer{name: name, file: f, stop: make(chan struct{}), out: bufio.NewWriterSize(f, 64<<10)}
	w.enc = encoder(w.out)
	w.put(h)
	w.flush()
	if w.err != nil {
		f.Close()
		return nil, w.err
	}
	w.done.Go(w.flushRegularly)
	return w, nil
}

func (w *Writer) flushRegularly() {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.flush()
		case <-w.stop:
			return
		}
	}
}

func (w *Writer) put(v any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = w.enc.Encode(v)
	}
}

func (w *Writer) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = w.out.Flush()
	}
}

// Put writes a line. Err returns the error, if any.
func (w *Writer) Put(l Line) { w.put(l.escaped()) }

// Err returns the first write error.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Finish writes the end and renames the file.
func (w *Writer) Finish(end End) error {
	close(w.stop)
	w.done.Wait()
	w.put(map[string]End{"end": end})
	w.flush()
	if err := w.Err(); err != nil {
		w.file.Close()
		return err
	}
	if err := w.file.Sync(); err != nil {
		w.file.Close()
		return err
	}
	if err := w.file.Close(); err != nil {
		return err
	}
	return os.Rename(w.name+Partial, w.name)
}
