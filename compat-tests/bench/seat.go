package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// A seat is a counting client.
type seat struct {
	transport
	name    string
	next    int64        // the next number to send
	acked   atomic.Int64 // count of acked numbers
	sums    int64        // sum of the numbers sent minus those acked
	waiting int          // count of pending acks
	packet  []byte
	took    []float64 // seconds from emit to ack, if the window is 1
}

// pair is a server with its two seats.
type pair struct {
	*server
	seats [2]*seat
}

// join takes both seats of a server.
func join(s *server, dial func(addr string) (transport, error)) (*pair, error) {
	p := &pair{server: s}
	for i := range p.seats {
		t, err := dial(s.addr)
		if err != nil {
			return nil, err
		}
		a := &seat{transport: t, name: fmt.Sprintf("client%d", i+1), next: int64(i + 1)}
		p.seats[i] = a
		if err := a.join(s.counts); err != nil {
			return nil, fmt.Errorf("%s: joining: %w", s.head, err)
		}
	}
	return p, nil
}

func overWebSocket(addr string) (transport, error) { return openWebSocket(addr) }
func overPolling(addr string) (transport, error)   { return openPolling(addr, "") }

// join joins namespace "/", and waits for the assignment of the seat if assigned is true.
func (s *seat) join(assigned bool) error {
	// The bare library loses a CONNECT that follows quickly after the open packet.
	time.Sleep(50 * time.Millisecond)
	s.Queue([]byte("40"))
	if err := s.Flush(); err != nil {
		return err
	}
	for joined := false; !joined || assigned; {
		if err := s.receive(func(packet []byte) error {
			switch {
			case bytes.HasPrefix(packet, []byte("40")):
				joined = true
			case bytes.HasPrefix(packet, []byte("44")):
				return fmt.Errorf("refused: %s", packet)
			case bytes.Contains(packet, []byte(s.name)):
				assigned = false
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// count queues the seat's next number, which is also the ack id.
func (s *seat) count() {
	s.packet = append(s.packet[:0], "42"...)
	s.packet = strconv.AppendInt(s.packet, s.next, 10)
	s.packet = append(s.packet, `["number",{"client_id":"`...)
	s.packet = append(s.packet, s.name...)
	s.packet = append(s.packet, `","number":`...)
	s.packet = strconv.AppendInt(s.packet, s.next, 10)
	s.packet = append(s.packet, "}]"...)
	s.Queue(s.packet)
	s.sums += s.next
	s.next += 2
	s.waiting++
}

// take handles a packet that the server sends while the seat counts.
func (s *seat) take(packet []byte) error {
	id, isAck := bytes.CutPrefix(packet, []byte("43"))
	switch {
	case isAck:
		id, empty := bytes.CutSuffix(id, []byte("[]"))
		var n int64
		for _, digit := range id {
			n = 10*n + int64(digit-'0')
		}
		if !empty || n <= 0 {
			return fmt.Errorf("%s was answered %s", s.name, packet)
		}
		s.sums -= n
		s.waiting--
		s.acked.Add(1)
	case string(packet) == "2":
		s.Queue([]byte("3"))
	case bytes.HasPrefix(packet, []byte(`42["start_game"]`)), string(packet) == "6":
	default:
		return fmt.Errorf("%s was sent %s", s.name, packet)
	}
	return nil
}

// flow counts with window numbers in flight, up to last, and waits for all acks. It appends
// to took only if the window is 1.
func (s *seat) flow(window int, last *atomic.Int64) error {
	var began time.Time
	for {
		for s.waiting < window && s.next <= last.Load() {
			began = time.Now()
			s.count()
		}
		if err := s.Flush(); err != nil {
			return err
		}
		if s.waiting == 0 {
			return s.check()
		}
		if err := s.receive(s.take); err != nil {
			return err
		}
		if window == 1 && s.waiting == 0 {
			s.took = append(s.took, time.Since(began).Seconds())
		}
	}
}

// check returns an error unless each number was acked once.
func (s *seat) check() error {
	if s.sums != 0 || s.waiting != 0 {
		return fmt.Errorf("%s did not receive %d acks", s.name, s.waiting)
	}
	return nil
}

// keepAlive answers the pings that pairs have received while they did not count.
func keepAlive(pairs []*pair) error {
	for _, p := range pairs {
		p.deadline(0)
		for _, s := range p.seats {
			err := s.Flush() // also starts a poll
			for err == nil && s.ready() {
				err = errors.Join(s.receive(s.take), s.Flush())
			}
			if err != nil {
				return fmt.Errorf("%s: %w", p.head, err)
			}
		}
	}
	return nil
}

// deadline sets the deadline of the seats' WebSockets to d plus timeout from now.
func (p *pair) deadline(d time.Duration) {
	for _, s := range p.seats {
		if c, ok := s.transport.(*webSocket); ok {
			c.SetDeadline(time.Now().Add(d + timeout))
		}
	}
}

// throughput is the result of flow.
type throughput struct {
	rate         float64       // acks per second
	serverCPU    time.Duration // for each number
	server, load float64       // cores in use by the server, and by this process
	took         []float64     // seconds from emit to ack, if the window is 1
}

// flow makes both seats count at the same time for that long, and some more before and
// after.
func (p *pair) flow(window int, d time.Duration, profile func(*server, syscall.Signal) error) (throughput, error) {
	p.deadline(d)
	var last atomic.Int64
	last.Store(math.MaxInt64)
	done := make(chan error, len(p.seats))
	for _, s := range p.seats {
		s.took = nil
		go func() { done <- s.flow(window, &last) }()
	}
	time.Sleep(d / 5)
	profile(p.server, syscall.SIGUSR1)
	before, err1 := p.sample()
	time.Sleep(d)
	after, err2 := p.sample()
	profile(p.server, syscall.SIGUSR2)
	acks, seconds := float64(after.acks-before.acks), after.at.Sub(before.at).Seconds()
	// The seats stop at the same number, as each may wait for the other's. They reach it
	// in about a quarter of a second.
	last.Store(after.highest + 4*int64(window) + int64(acks/seconds/4))
	err := errors.Join(err1, err2)
	for range p.seats {
		err = errors.Join(err, <-done)
	}
	if err == nil && acks == 0 {
		err = fmt.Errorf("no ack in %v; measure longer, with -seconds", d)
	}
	if err != nil {
		return throughput{}, fmt.Errorf("%s: %w", p.head, err)
	}
	return throughput{
		rate:      acks / seconds,
		serverCPU: time.Duration(float64(after.server-before.server) / acks),
		server:    (after.server - before.server).Seconds() / seconds,
		load:      (after.client - before.client).Seconds() / seconds,
		took:      slices.Concat(p.seats[0].took, p.seats[1].took),
	}, nil
}

// sample is the acks and CPU times up to a moment.
type sample struct {
	at             time.Time
	acks, highest  int64
	server, client time.Duration
}

func (p *pair) sample() (s sample, err error) {
	s.at = time.Now()
	for i, seat := range p.seats {
		n := seat.acked.Load()
		s.acks += n
		s.highest = max(s.highest, 2*n+int64(i+1))
	}
	var err1 error
	s.client, err1 = ownCPU()
	s.server, err = p.cpu()
	return s, errors.Join(err, err1)
}

// ownCPU returns the CPU time of this process, which is the load.
func ownCPU() (time.Duration, error) {
	var usage syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), err
}

// loading returns how many cores this process uses while f runs.
func loading(f func() error) (float64, error) {
	began := time.Now()
	before, err1 := ownCPU()
	err2 := f()
	after, err3 := ownCPU()
	return (after - before).Seconds() / time.Since(began).Seconds(), errors.Join(err1, err2, err3)
}

// turns makes the seats count in turn for that long, each after the other's ack. It returns
// the seconds to each ack, and calls acked, if not nil, with each number.
func (p *pair) turns(d, pause time.Duration, acked func(number int64, at time.Time)) ([]float64, error) {
	p.deadline(d)
	var took []float64
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(pause) {
		s := p.seats[0]
		if p.seats[1].next < s.next {
			s = p.seats[1]
		}
		number := s.next
		began := time.Now()
		s.count()
		for s.waiting > 0 {
			err := s.Flush()
			if err == nil {
				err = s.receive(s.take)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.head, err)
			}
		}
		now := time.Now()
		took = append(took, now.Sub(began).Seconds())
		if acked != nil {
			acked(number, now)
		}
	}
	return took, errors.Join(p.seats[0].check(), p.seats[1].check())
}

// acked returns how many numbers of the pair were acked.
func (p *pair) acked() int64 { return p.seats[0].acked.Load() + p.seats[1].acked.Load() }

func (p *pair) leave() {
	for _, s := range p.seats {
		s.Close()
	}
}
