package engineio

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// frameReader reads messages. It holds a buffer only while there is data in it, so
// an idle connection has none.
type frameReader struct {
	conn  net.Conn
	ready readinessReader // reads without a buffer of ours while it waits
	early []byte          // received before the WebSocket was opened

	beforeWait func() // if non-nil, called before a read that may block

	buffer *[readSize]byte
	from   int // buffer[from:to] is not yet used
	to     int
	failed error // of await

	fragment ws.OpCode // the type of the message whose parts are being received, or 0
	message  []byte    // the received part of a message that does not fit the buffer
	counted  int64     // bytes of it that the budget counts
	begun    bool      // a message has been received in part
	timed    bool      // a read deadline is set for a message
	until    time.Time // the read deadline for all messages, if it is not zero
}

const readSize = 4 << 10

var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// buffered reports whether there is received data that is not yet used.
func (f *frameReader) buffered() bool { return f.from < f.to || len(f.early) > 0 }

// next returns the next message or control frame. The data is valid until the
// next call.
func (f *frameReader) next(s *Session) (ws.OpCode, []byte, error) {
	if f.fragment == 0 {
		f.discard(s)
	}
	for {
		h, err := f.header()
		if err != nil {
			return 0, nil, err
		}
		if h.OpCode.IsControl() {
			data, err := f.payload(h)
			if f.fragment == 0 {
				f.done()
			}
			return h.OpCode, data, err
		}
		if h.Length > int64(s.server.options.MaxPayload-len(f.message)) {
			s.server.options.OnLimit(LimitPayload)
			return 0, nil, errors.New("a message is larger than the limit")
		}
		op := h.OpCode
		if op == ws.OpContinuation {
			op = f.fragment
		}
		f.fragment = op
		var data []byte
		if h.Fin && f.message == nil && h.Length <= readSize {
			data, err = f.payload(h)
		} else {
			err = f.collect(s, h)
			data = f.message
		}
		switch {
		case err != nil:
			return 0, nil, err
		case !h.Fin:
			continue
		case op == ws.OpText && !utf8.Valid(data):
			return 0, nil, errors.New("text that is not UTF-8")
		}
		f.fragment = 0
		f.done()
		return op, data, nil
	}
}

// payload returns the payload of a frame that fits the buffer.
func (f *frameReader) payload(h ws.Header) ([]byte, error) {
	if h.Length == 0 {
		return nil, nil
	}
	if err := f.fill(int(h.Length)); err != nil {
		return nil, err
	}
	data := f.buffer[f.from : f.from+int(h.Length)]
	ws.Cipher(data, h.Mask, 0)
	f.from += len(data)
	return data, nil
}

// discard forgets the message that was collected.
func (f *frameReader) discard(s *Session) {
	if f.message != nil {
		s.server.receiving.resize(s.addressKey, f.counted, 0)
		f.message, f.counted = nil, 0
	}
}

// done records that a message is complete.
func (f *frameReader) done() {
	f.begun = false
	if f.timed {
		f.timed = false
		f.conn.SetReadDeadline(f.until)
	}
}

// header reads the next frame's header and checks it.
// https://datatracker.ietf.org/doc/html/rfc6455#section-5.2
func (f *frameReader) header() (ws.Header, error) {
	if err := f.fill(2); err != nil {
		return ws.Header{}, err
	}
	f.begun = true
	first, second := f.buffer[f.from], f.buffer[f.from+1]
	h := ws.Header{Fin: first&0x80 != 0, Rsv: first >> 4 & 0x7, OpCode: ws.OpCode(first & 0xf), Masked: second&0x80 != 0, Length: int64(second & 0x7f)}
	maskAt := 2
	switch h.Length {
	case 126:
		maskAt += 2
	case 127:
		maskAt += 8
	}
	size := maskAt
	if h.Masked {
		size += len(h.Mask)
	}
	if err := f.fill(size); err != nil {
		return ws.Header{}, err
	}
	raw := f.buffer[f.from : f.from+size]
	if maskAt > 2 {
		h.Length = 0
		for _, b := range raw[2:maskAt] {
			h.Length = h.Length<<8 | int64(b)
		}
	}
	copy(h.Mask[:], raw[maskAt:])
	f.from += size
	if h.Length < 0 {
		return h, ws.ErrHeaderLengthMSB
	}
	state := ws.StateServerSide
	if f.fragment != 0 {
		state |= ws.StateFragmented
	}
	return h, ws.CheckHeader(h, state)
}

// collect appends a frame's payload to the message. The message grows with the data
// that arrives, not with the announced length, and counts against the budget.
func (f *frameReader) collect(s *Session, h ws.Header) error {
	start := len(f.message)
	end := start + int(h.Length)
	for len(f.message) < end {
		if err := f.fill(1); err != nil {
			return err
		}
		n := min(f.to-f.from, end-len(f.message))
		if need := len(f.message) + n; need > cap(f.message) {
			size := min(max(2*cap(f.message), need, readSize), s.server.options.MaxPayload)
			if err := s.server.receiving.resize(s.addressKey, f.counted, int64(size)); err != nil {
				s.server.options.OnLimit(LimitReceiving)
				return err
			}
			f.counted = int64(size)
			f.message = append(make([]byte, 0, size), f.message...)
		}
		f.message = append(f.message, f.buffer[f.from:f.from+n]...)
		f.from += n
	}
	ws.Cipher(f.message[start:], h.Mask, 0)
	return nil
}

// fill reads until n bytes are in the buffer. It waits for a message to begin without
// a deadline, and at most messageTimeout for the whole message.
func (f *frameReader) fill(n int) error {
	for f.to-f.from < n {
		if f.from == f.to {
			f.putBuffer()
		}
		if f.buffer == nil && len(f.early) > 0 {
			f.to = copy(f.takeBuffer(), f.early)
			f.early = f.early[f.to:]
			continue
		}
		if (f.begun || f.from < f.to) && !f.timed {
			f.timed = true
			if at := time.Now().Add(messageTimeout); f.until.IsZero() || at.Before(f.until) {
				f.conn.SetReadDeadline(at)
			}
		}
		if f.buffer != nil && f.from > 0 {
			f.to = copy(f.buffer[:], f.buffer[f.from:f.to])
			f.from = 0
		}
		if len(f.early) > 0 {
			k := copy(f.buffer[f.to:], f.early)
			f.to, f.early = f.to+k, f.early[k:]
			continue
		}
		k, err := f.receive()
		if err != nil {
			return err
		}
		if k == 0 {
			return io.ErrUnexpectedEOF
		}
		f.to += k
	}
	return nil
}

// await waits for the beginning of a message, as next does, but with a small stack.
func (f *frameReader) await(s *Session) {
	if f.begun || f.buffered() || f.ready.raw == nil {
		return
	}
	f.discard(s)
	f.putBuffer()
	f.to, f.failed = f.ready.read()
}

// receive reads once. It takes a buffer only when there is something to read.
func (f *frameReader) receive() (int, error) {
	if f.failed != nil {
		return 0, f.failed
	}
	if f.beforeWait != nil {
		f.beforeWait()
	}
	if f.buffer == nil && f.ready.raw != nil {
		return f.ready.read()
	}
	if f.buffer == nil {
		f.takeBuffer()
	}
	return f.conn.Read(f.buffer[f.to:])
}

func (f *frameReader) takeBuffer() []byte {
	f.buffer = readBuffers.Get().(*[readSize]byte)
	return f.buffer[:]
}

func (f *frameReader) putBuffer() {
	if f.buffer != nil {
		readBuffers.Put(f.buffer)
		f.buffer = nil
	}
	f.from, f.to = 0, 0
}

// release releases the reader's buffers.
func (f *frameReader) release(s *Session) {
	f.putBuffer()
	f.discard(s)
}
