// Package wire is a minimal WebSocket client for loads, whose own cost should not limit
// what they measure: queued frames are sent in one write, and a packet needs no
// allocation.
package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// The opcodes of frames that servers send.
// https://www.rfc-editor.org/rfc/rfc6455#section-5.2
const (
	Text = 1
	Ping = 9
)

// Conn is a client's connection. One goroutine may receive while another one sends. Its
// frames are masked with zero, which does not change the text.
type Conn struct {
	net.Conn
	r    *bufio.Reader
	out  []byte
	read int // bytes of the frame that Next returned last
}

// ErrUnavailable is Dial's error if the server answers 503: a client tries again.
var ErrUnavailable = errors.New("the server did not open a WebSocket: 503 Service Unavailable")

// Dial opens a WebSocket. It sets the connection's deadline to the given time from now,
// and does not reset it. A frame of more than buffer bytes is an error of Next.
func Dial(addr, path string, buffer int, within time.Duration) (*Conn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(within))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", path, addr)
	r := bufio.NewReaderSize(conn, buffer)
	response, err := http.ReadResponse(r, nil)
	switch {
	case err != nil:
	case response.StatusCode == http.StatusServiceUnavailable:
		err = ErrUnavailable
	case response.StatusCode != http.StatusSwitchingProtocols:
		err = fmt.Errorf("the server did not open a WebSocket: %s", response.Status)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &Conn{Conn: conn, r: r}, nil
}

// Queue adds a text frame, of at most 125 bytes, to what Flush sends.
func (c *Conn) Queue(packet []byte) {
	if len(packet) > 125 {
		panic("wire: the packet has more than 125 bytes")
	}
	c.out = append(c.out, 0x81, 0x80|byte(len(packet)), 0, 0, 0, 0)
	c.out = append(c.out, packet...)
}

// Flush sends the queued frames.
func (c *Conn) Flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.Write(c.out)
	c.out = c.out[:0]
	return err
}

// Next returns the next frame. Its payload is valid until the next call.
func (c *Conn) Next() (opcode byte, payload []byte, err error) {
	c.r.Discard(c.read)
	c.read = 0
	head, err := c.r.Peek(2)
	if err != nil {
		return 0, nil, err
	}
	opcode, length, skip := head[0]&0x0f, int(head[1]), 2
	switch length {
	case 126:
		if head, err = c.r.Peek(4); err != nil {
			return 0, nil, err
		}
		length, skip = int(binary.BigEndian.Uint16(head[2:])), 4
	case 127:
		return 0, nil, fmt.Errorf("a frame of opcode %d and more than 65535 bytes", opcode)
	}
	frame, err := c.r.Peek(skip + length)
	if err != nil {
		return 0, nil, fmt.Errorf("a frame of opcode %d and length %d: %w", opcode, length, err)
	}
	c.read = len(frame)
	return opcode, frame[skip:], nil
}

// Buffered returns how many bytes have been received after the frame that Next returned.
func (c *Conn) Buffered() int { return c.r.Buffered() - c.read }

// Ready reports whether there is something for Next within a millisecond. It sets the
// read deadline to the given time from now.
func (c *Conn) Ready(then time.Duration) bool {
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	defer c.SetReadDeadline(time.Now().Add(then))
	_, err := c.r.Peek(c.read + 1)
	return err == nil
}
