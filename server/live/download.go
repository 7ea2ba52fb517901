package live

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"counting/server/numbersfile"
)

// ServeFile answers GET /numbers.txt: the complete lines of the file, with an ETag,
// ranges and conditions. For a count that is not kept in a file they are spelled.
func (f *Feed) ServeFile(w http.ResponseWriter, r *http.Request) {
	release := f.hub.limiter.acquire(w, r, f)
	if release == nil {
		return
	}
	defer release()
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	content, tag, err := f.content()
	if err != nil {
		f.hub.log.Warn("numbers.txt cannot be downloaded: " + err.Error())
		http.Error(w, "numbers.txt cannot be read; the server's log says why", http.StatusInternalServerError)
		return
	}
	defer content.Close()
	h.Set("ETag", tag)
	// Without a modification time, since the file changes often within a second.
	http.ServeContent(&slowWriter{w, http.NewResponseController(w)}, r, "", time.Time{}, content)
}

// section is a part of a file.
type section struct {
	io.ReadSeeker
	io.Closer
}

// content returns what ServeFile answers, and its ETag. It includes every number that
// was acked before, even if the feed was not notified of it yet. For a count without a
// file, all servers return the same ETag.
func (f *Feed) content() (section, string, error) {
	if f.lines.path != "" {
		return wholeLines(f.lines.path)
	}
	count := f.written()
	return section{numbersfile.NewReader(count), io.NopCloser(nil)}, fmt.Sprintf(`"count-%d"`, count), nil
}

// wholeLines opens the file up to the end of its last complete line, since a line may
// just be written. A missing file counts as empty.
func wholeLines(path string) (content section, tag string, err error) {
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return section{strings.NewReader(""), io.NopCloser(nil)}, `"0"`, nil
	}
	if err != nil {
		return section{}, "", err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return section{}, "", err
	}
	size := info.Size()
	for buf := make([]byte, 4096); size > 0; {
		from := max(0, size-int64(len(buf)))
		n, err := file.ReadAt(buf[:size-from], from)
		if err != nil && err != io.EOF {
			file.Close()
			return section{}, "", err
		}
		if end := bytes.LastIndexByte(buf[:n], '\n'); end >= 0 {
			size = from + int64(end) + 1
			break
		}
		size = from
	}
	tag = fmt.Sprintf(`"%x-%x"`, size, info.ModTime().UnixNano())
	return section{io.NewSectionReader(file, 0, size), file}, tag, nil
}

// slowWriter sets writeTimeout for each write, and not for the whole response.
type slowWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (w *slowWriter) Write(p []byte) (int, error) {
	if err := w.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}
