package capture

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// Opcodes of WebSocket frames.
// https://www.rfc-editor.org/rfc/rfc6455#section-5.2
const (
	opContinuation = 0x0
	opBinary       = 0x2
	opClose        = 0x8
)

// window is how many of the preceding bytes a compressed message may refer to.
const window = 32 << 10

// maxFrame is the greatest length of a frame. A greater one is taken as an error in the
// data.
const maxFrame = 1 << 30

// messages reads WebSocket messages from one side of a connection.
type messages struct {
	in io.Reader
	// takeover reports whether a compressed message may refer to those before it.
	takeover bool
	before   []byte
}

// A wsMessage is a message or a close frame.
type wsMessage struct {
	data   []byte
	binary bool
	close  bool
}

// next returns the next message or close frame, and skips pings and pongs of the
// WebSocket. At the end of the data, also within a frame, it returns io.EOF or
// io.ErrUnexpectedEOF.
func (m *messages) next() (wsMessage, error) {
	var msg wsMessage
	compressed := false
	for {
		f, err := readFrame(m.in)
		if err != nil {
			return msg, err
		}
		if f.op == opClose {
			return wsMessage{close: true}, nil
		}
		if f.op > opClose {
			continue
		}
		if f.op != opContinuation {
			msg = wsMessage{binary: f.op == opBinary}
			compressed = f.compressed
		}
		msg.data = append(msg.data, f.data...)
		if !f.final {
			continue
		}
		if compressed {
			msg.data, err = m.inflate(msg.data)
		}
		return msg, err
	}
}

// inflate undoes permessage-deflate.
// https://www.rfc-editor.org/rfc/rfc7692#section-7.2.2
func (m *messages) inflate(data []byte) ([]byte, error) {
	const tail = "\x00\x00\xff\xff" // cut off by the sender
	const last = "\x01\x00\x00\xff\xff"
	r := flate.NewReaderDict(io.MultiReader(bytes.NewReader(data), strings.NewReader(tail+last)), m.before)
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("compressed message: %w", err)
	}
	if m.takeover {
		m.before = append(m.before, plain...)
		m.before = m.before[max(0, len(m.before)-window):]
	}
	return plain, nil
}

type frame struct {
	op                byte
	final, compressed bool
	data              []byte
}

func readFrame(in io.Reader) (frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{op: head[0] & 0xf, final: head[0]&0x80 != 0, compressed: head[0]&0x40 != 0}
	length, err := readLength(in, head[1]&0x7f)
	if err != nil {
		return frame{}, err
	}
	var mask [4]byte
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(in, mask[:]); err != nil {
			return frame{}, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(in, length))
	if err != nil {
		return frame{}, err
	}
	if int64(len(data)) < length {
		return frame{}, io.ErrUnexpectedEOF
	}
	for i := range data {
		data[i] ^= mask[i%4]
	}
	f.data = data
	return f, nil
}

// readLength reads what follows a frame's short length.
func readLength(in io.Reader, short byte) (int64, error) {
	const twoBytes, eightBytes = 126, 127
	var length uint64
	switch short {
	case twoBytes:
		var l uint16
		if err := binary.Read(in, binary.BigEndian, &l); err != nil {
			return 0, err
		}
		length = uint64(l)
	case eightBytes:
		if err := binary.Read(in, binary.BigEndian, &length); err != nil {
			return 0, err
		}
	default:
		length = uint64(short)
	}
	if length > maxFrame {
		return 0, fmt.Errorf("a frame of %d bytes", length)
	}
	return int64(length), nil
}
