// Package manygames lets two clients count in each of many games on one server,
// over raw WebSocket frames and with one goroutine for each client, so that the
// load costs less than the server.
package manygames

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"counting/server/numbersfile"
)

// patience is how long anything may take while the clients join.
const patience = time.Minute

// atOnce is how many clients join at the same time.
const atOnce = 32

// Load is two clients in each of some games. Its methods are for one goroutine.
type Load struct {
	interval time.Duration
	games    []*game
	stop     chan struct{}
	counting sync.WaitGroup
	failed   chan error
	stopped  atomic.Bool
}

type game struct {
	name    string
	clients [2]*client
}

// Name returns the name of a game of a load.
func Name(i int) string { return fmt.Sprintf("game-%d", i) }

// Join opens that many games on the server at that address, and waits until all
// seats are taken. Each client will send a number each interval. The load must be
// closed.
func Join(addr string, games int, interval time.Duration) (*Load, error) {
	l := &Load{interval: interval, stop: make(chan struct{}), failed: make(chan error, 2*games)}
	for i := range games {
		l.games = append(l.games, &game{name: Name(i)})
	}
	slots := make(chan struct{}, atOnce)
	var joining sync.WaitGroup
	for _, g := range l.games {
		slots <- struct{}{}
		joining.Go(func() {
			defer func() { <-slots }()
			for i := range g.clients {
				c, err := join(addr, g.name)
				if err != nil {
					l.failed <- fmt.Errorf("%s: %w", g.name, err)
					return
				}
				g.clients[i] = c
			}
		})
	}
	joining.Wait()
	select {
	case err := <-l.failed:
		return nil, errors.Join(err, l.Close())
	default:
		return l, nil
	}
}

// Result is what a load measured.
type Result struct {
	Acked int           // numbers
	P50   time.Duration // from when a number was due to be sent until its ack
	P99   time.Duration
	Max   time.Duration
	// Late is how late the load itself sent 99 percent of the numbers at most. It is
	// part of the times above.
	Late time.Duration
}

// Count lets all clients count for a while, and returns what was measured in the
// time after the warm-up. They go on counting until Close.
//
// The clients of a game take turns, as they do in life, and the games are spread
// evenly over the interval. A client sends its numbers when they are due, whether
// the ones before are acked or not.
func (l *Load) Count(ctx context.Context, warmUp, measured time.Duration) (Result, error) {
	start := time.Now().Add(l.interval)
	from, to := start.Add(warmUp), start.Add(warmUp+measured)
	for _, g := range l.games {
		phase := rand.N(l.interval)
		for _, c := range g.clients {
			c.due = start.Add(phase)
			if c.next%2 == 0 {
				c.due = c.due.Add(l.interval / 2)
			}
			c.from, c.to = from, to
			l.counting.Go(func() {
				if err := c.count(l.interval, l.stop); err != nil && !l.stopped.Load() {
					l.failed <- fmt.Errorf("%s: %w", g.name, err)
				}
			})
		}
	}
	select {
	case err := <-l.failed:
		return Result{}, err
	case <-ctx.Done():
		return Result{}, ctx.Err()
	case <-time.After(time.Until(to.Add(l.interval))):
	}
	return l.result(), nil
}

func (l *Load) result() (r Result) {
	var took, late []time.Duration
	for _, g := range l.games {
		for _, c := range g.clients {
			c.mu.Lock()
			took, late = append(took, c.took...), append(late, c.late...)
			c.mu.Unlock()
		}
	}
	slices.Sort(took)
	slices.Sort(late)
	if r.Acked = len(took); r.Acked > 0 {
		r.P50, r.P99, r.Max = took[r.Acked/2], took[r.Acked*99/100], took[r.Acked-1]
		r.Late = late[len(late)*99/100]
	}
	return r
}

// Expect makes the end of the connections, as when the server is killed, no error.
func (l *Load) Expect() { l.stopped.Store(true) }

// Close ends all clients, and returns the first error of one.
func (l *Load) Close() error {
	l.stopped.Store(true)
	close(l.stop)
	for _, g := range l.games {
		for _, c := range g.clients {
			if c != nil {
				c.conn.Close()
			}
		}
	}
	l.counting.Wait()
	select {
	case err := <-l.failed:
		return err
	default:
		return nil
	}
}

// Verify checks, after Close, that the file of each game in the data directory is
// an unbroken count and has all numbers that were acked. It returns how many
// numbers there are in all.
func (l *Load) Verify(data string) (numbers int64, err error) {
	for _, g := range l.games {
		lines, bad, err := numbersfile.Verify(filepath.Join(data, "games", g.name, numbersfile.Name))
		if errors.Is(err, os.ErrNotExist) {
			lines, err = 0, nil
		}
		if err != nil {
			return 0, err
		}
		if bad != nil {
			return 0, fmt.Errorf("%s is not an unbroken count: %v", g.name, bad)
		}
		for _, c := range g.clients {
			if c.acked > lines {
				return 0, fmt.Errorf("in %s %d was acked, and the file ends with %d", g.name, c.acked, lines)
			}
		}
		numbers += lines
	}
	return numbers, nil
}

// client is one client.
type client struct {
	conn   net.Conn
	r      *bufio.Reader
	packet []byte
	seat   string
	next   int64 // the number that it sends next
	due    time.Time
	acked  int64 // the greatest number that was

	sent     []time.Time // when the numbers that wait for acks were due, oldest first
	from, to time.Time   // what is due in between is measured

	mu   sync.Mutex
	took []time.Duration
	late []time.Duration
}

// join opens a session and waits for its seat.
func join(addr, game string) (*client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, r: bufio.NewReaderSize(conn, 1024)}
	if err := c.join(addr, game); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) join(addr, game string) error {
	c.conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c.conn, "GET /socket.io/?EIO=4&transport=websocket&game=%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", game, addr)
	response, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the handshake is answered %s", response.Status)
	}
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
		case bytes.HasPrefix(packet, []byte("40")) && c.seat != "":
			c.conn.SetDeadline(time.Time{})
			return nil
		case bytes.HasPrefix(packet, []byte("4")) && packet[1] != '2', bytes.HasPrefix(packet, []byte("41")):
			return fmt.Errorf("it was sent %s", packet)
		}
	}
}

// count sends the numbers that are due and takes the acks, until stop is closed or
// the connection ends.
func (c *client) count(interval time.Duration, stop chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		c.conn.SetReadDeadline(c.due)
		packet, err := c.read()
		now := time.Now()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = c.send(now, interval)
		case err == nil && string(packet) == "2":
			err = c.write([]byte("3"))
		case err == nil:
			err = c.take(packet, now)
		}
		if err != nil {
			return err
		}
	}
}

// send sends the next number.
func (c *client) send(now time.Time, interval time.Duration) error {
	c.packet = strconv.AppendInt(append(c.packet[:0], "42"...), c.next, 10)
	c.packet = append(append(append(c.packet, `["number",{"client_id":"`...), c.seat...), `","number":`...)
	c.packet = append(strconv.AppendInt(c.packet, c.next, 10), "}]"...)
	c.sent = append(c.sent, c.due)
	if !c.due.Before(c.from) && c.due.Before(c.to) {
		c.mu.Lock()
		c.late = append(c.late, now.Sub(c.due))
		c.mu.Unlock()
	}
	c.next += 2
	c.due = c.due.Add(interval)
	return c.write(c.packet)
}

// take takes an ack; other events do not matter.
func (c *client) take(packet []byte, now time.Time) error {
	id, isAck := bytes.CutPrefix(packet, []byte("43"))
	if !isAck {
		return nil
	}
	want := c.next - 2*int64(len(c.sent))
	id, empty := bytes.CutSuffix(id, []byte("[]"))
	if n, err := strconv.ParseInt(string(id), 10, 64); err != nil || !empty || n != want {
		return fmt.Errorf("%s was answered %s, want the ack of %d", c.seat, packet, want)
	}
	due := c.sent[0]
	c.sent = append(c.sent[:0], c.sent[1:]...)
	c.acked = want
	if !due.Before(c.from) && due.Before(c.to) {
		c.mu.Lock()
		c.took = append(c.took, now.Sub(due))
		c.mu.Unlock()
	}
	return nil
}

// write sends a text frame, masked with zero, which leaves the text as it is.
func (c *client) write(packet []byte) error {
	var frame [140]byte
	out := append(frame[:0], 0x81, 0x80|byte(len(packet)), 0, 0, 0, 0)
	if len(packet) > 125 {
		return fmt.Errorf("%s is longer than this client writes", packet)
	}
	_, err := c.conn.Write(append(out, packet...))
	return err
}

// read returns the next packet, which is valid until the next call.
func (c *client) read() ([]byte, error) {
	head, err := c.r.Peek(2)
	if err != nil {
		return nil, err
	}
	opcode, length, skip := head[0]&0x0f, int(head[1]), 2
	if length == 126 {
		if head, err = c.r.Peek(4); err != nil {
			return nil, err
		}
		length, skip = int(binary.BigEndian.Uint16(head[2:])), 4
	}
	if opcode != 1 || length > 1000 {
		return nil, fmt.Errorf("a frame of opcode %d and length %d", opcode, length)
	}
	frame, err := c.r.Peek(skip + length)
	if err != nil {
		return nil, err
	}
	c.packet = append(c.packet[:0], frame[skip:]...)
	c.r.Discard(skip + length)
	return c.packet, nil
}
