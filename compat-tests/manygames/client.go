package manygames

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"counting/compat-tests/wire"
)

// joinTimeout is how long a client may take to join.
const joinTimeout = time.Minute

// client is one client.
type client struct {
	conn   *wire.Conn
	packet []byte // the buffer for sending; guarded by mu
	seat   string
	due    time.Time // when the next number is due
	from   time.Time // numbers due from then
	to     time.Time // until then are measured

	mu    sync.Mutex  // also held while sending
	next  int64       // the next number to send
	acked int64       // the greatest acked number
	acks  int         // received since Join
	sent  []time.Time // when the numbers without an ack were due, oldest first
	took  []time.Duration
	late  []time.Duration
}

// join opens a session and waits until it is assigned a seat. On a server that does not
// assign seats it uses the given one.
func join(addr, game string, seat int) (*client, error) {
	began := time.Now()
	dial := func() (*wire.Conn, error) {
		return wire.Dial(addr, "/socket.io/?EIO=4&transport=websocket&game="+game, 1024, joinTimeout)
	}
	conn, err := dial()
	for errors.Is(err, wire.ErrUnavailable) && time.Since(began) < joinTimeout { // the game is still being opened
		time.Sleep(100 * time.Millisecond)
		conn, err = dial()
	}
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn}
	if err := c.join(seat); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) join(seat int) error {
	if _, err := c.read(); err != nil { // the open packet
		return err
	}
	if err := c.write([]byte("40")); err != nil {
		return err
	}
	for {
		packet, err := c.read()
		if err != nil {
			return err
		}
		assigned, isAssignment := bytes.CutPrefix(packet, []byte(`42["client_assigned",{"client_id":"`))
		switch {
		case isAssignment:
			if _, err := fmt.Sscanf(string(assigned), `client%1s","last_number":%d}]`, &c.seat, &c.next); err != nil {
				return fmt.Errorf("%s: %w", packet, err)
			}
			c.seat = "client" + c.seat
		case bytes.HasPrefix(packet, []byte("40")):
			if c.seat == "" {
				c.seat, c.next = fmt.Sprintf("client%d", seat), int64(seat)
			}
			c.conn.SetDeadline(time.Time{})
			return nil
		case bytes.HasPrefix(packet, []byte("4")) && !bytes.HasPrefix(packet, []byte("42")):
			return fmt.Errorf("unexpected packet %s", packet)
		}
	}
}

// receive handles what the server sends, until the connection ends.
func (c *client) receive() error {
	for {
		packet, err := c.read()
		if err != nil {
			return err
		}
		c.mu.Lock()
		if string(packet) == "2" {
			err = c.write([]byte("3"))
		} else {
			err = c.take(packet, time.Now())
		}
		c.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// send sends the next number.
func (c *client) send(interval time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.due.Before(c.from) && c.due.Before(c.to) {
		c.late = append(c.late, time.Since(c.due))
	}
	c.sent = append(c.sent, c.due)
	c.due = c.due.Add(interval)
	c.packet = fmt.Appendf(c.packet[:0], `42%d["number",{"client_id":"%s","number":%d}]`, c.next, c.seat, c.next)
	c.next += 2
	return c.write(c.packet)
}

func (c *client) received() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acks
}

// take handles an ack and ignores events. The caller holds c.mu.
func (c *client) take(packet []byte, now time.Time) error {
	id, isAck := bytes.CutPrefix(packet, []byte("43"))
	if !isAck {
		return nil
	}
	want := c.next - 2*int64(len(c.sent))
	id, empty := bytes.CutSuffix(id, []byte("[]"))
	if n, err := strconv.ParseInt(string(id), 10, 64); err != nil || !empty || n != want || len(c.sent) == 0 {
		return fmt.Errorf("%s was answered %s, want the ack of %d", c.seat, packet, want)
	}
	due := c.sent[0]
	c.sent = append(c.sent[:0], c.sent[1:]...)
	c.acked = want
	c.acks++
	if !due.Before(c.from) && due.Before(c.to) {
		c.took = append(c.took, now.Sub(due))
	}
	return nil
}

// write sends a packet. The caller holds c.mu, once the client has joined.
func (c *client) write(packet []byte) error {
	c.conn.Queue(packet)
	return c.conn.Flush()
}

// read returns the next packet, which is valid until the next call.
func (c *client) read() ([]byte, error) {
	opcode, packet, err := c.conn.Next()
	if err == nil && (opcode != wire.Text || len(packet) > 1000) {
		err = fmt.Errorf("a frame of opcode %d and length %d", opcode, len(packet))
	}
	return packet, err
}
