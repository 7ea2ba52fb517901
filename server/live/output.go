package live

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"counting/server/nonblocking"
)

const (
	// writeTimeout is how long a reader may take to receive what it is sent.
	writeTimeout = 10 * time.Second
	// maxInChunk is how many events the goroutine of a reader copies into one chunk: it
	// keeps the copy while the connection is full.
	maxInChunk = 16
	// maxIgnored is how many bytes a reader may send after its request.
	maxIgnored = 4 << 10
)

// output writes events to one reader: as the body of a response, and after detach on the
// connection itself, so that the hub can write to it as well, without blocking. All
// methods are for the goroutine that serves the reader, except tryWrite and wake: the hub
// calls them while the reader is parked, and Feed.Close calls wake.
type output struct {
	response http.ResponseWriter
	control  *http.ResponseController
	deadline time.Time // of writes; zero if none is set

	conn    net.Conn // after detach
	direct  nonblocking.Writer
	chunked bool // the body is in chunks
	ignored int
	read    [64]byte
}

// write writes events, and may clear the slice. It returns when the system has accepted
// them, or with an error after writeTimeout.
func (o *output) write(events ...[]byte) error {
	if err := o.setDeadline(); err != nil {
		return err
	}
	if o.conn != nil {
		for part := range slices.Chunk(events, maxInChunk) {
			if _, err := o.conn.Write(newChunk(part).as(o.chunked)); err != nil {
				return err
			}
			clear(part)
		}
		return nil
	}
	for _, e := range events {
		if _, err := o.response.Write(e); err != nil {
			return err
		}
	}
	return o.control.Flush()
}

// writeRest writes the rest of a chunk after detach.
func (o *output) writeRest(rest []byte) error {
	if err := o.setDeadline(); err != nil {
		return err
	}
	_, err := o.conn.Write(rest)
	return err
}

// setDeadline gives writes at least writeTimeout minus one second. Setting the deadline
// costs as much as a write, so it is not set for each one.
func (o *output) setDeadline() error {
	now := time.Now()
	if o.deadline.Sub(now) >= writeTimeout-time.Second {
		return nil
	}
	o.deadline = now.Add(writeTimeout)
	return o.control.SetWriteDeadline(o.deadline)
}

// detach takes the connection from the HTTP server, after the response has begun. The
// caller must call end.
func (o *output) detach(r *http.Request) error {
	if o.conn != nil {
		return nil
	}
	conn, _, err := o.control.Hijack()
	if err != nil {
		return err
	}
	o.conn, o.direct, o.chunked, o.deadline = conn, nonblocking.NewWriter(nonblocking.RawConn(conn)), r.ProtoAtLeast(1, 1), time.Time{}
	return nil
}

// clearDeadline must be called before the reader is parked: tryWrite would fail after the
// deadline.
func (o *output) clearDeadline() error {
	if o.deadline.IsZero() {
		return nil
	}
	o.deadline = time.Time{}
	return o.conn.SetWriteDeadline(o.deadline)
}

// tryWrite writes what the system accepts without blocking, and returns the rest.
func (o *output) tryWrite(c chunk) (rest []byte, err error) {
	text := c.as(o.chunked)
	n, err := o.direct.Write(text)
	return text[n:], err
}

// wait waits until wake is called. Otherwise it returns an error: when the client has
// hung up, or sends more than maxIgnored bytes.
func (o *output) wait() error {
	for {
		n, err := o.conn.Read(o.read[:])
		switch o.ignored += n; {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return o.conn.SetReadDeadline(time.Time{})
		case err != nil:
			return err
		case o.ignored > maxIgnored:
			return errors.New("a reader of events sends more than its request")
		}
	}
}

// wake ends wait, even one that begins afterwards.
func (o *output) wake() { o.conn.SetReadDeadline(time.Unix(1, 0)) }

// end ends the body if the stream has ended without an error, and closes the connection.
func (o *output) end(err error) {
	if o.conn == nil {
		return
	}
	if err == nil && o.chunked {
		_ = o.writeRest([]byte("0\r\n\r\n"))
	}
	o.conn.Close()
}

// chunk is a part of the body in chunked coding: RFC 9112, section 7.1.
type chunk struct {
	coded    []byte // never modified
	from, to int    // of the events in it
}

func newChunk(events [][]byte) chunk {
	size := 0
	for _, e := range events {
		size += len(e)
	}
	c := chunk{coded: fmt.Appendf(make([]byte, 0, size+20), "%x\r\n", size)}
	c.from = len(c.coded)
	for _, e := range events {
		c.coded = append(c.coded, e...)
	}
	c.to = len(c.coded)
	c.coded = append(c.coded, "\r\n"...)
	return c
}

// as returns what is sent for the chunk.
func (c chunk) as(chunked bool) []byte {
	if chunked {
		return c.coded
	}
	return c.coded[c.from:c.to]
}
