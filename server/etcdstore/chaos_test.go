package etcdstore

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"counting/server/etcdstore/etcdtest"
	"counting/server/store"

	"github.com/anishathalye/porcupine"
)

// proxy is a TCP proxy that can drop what comes back.
type proxy struct {
	net.Listener
	to   string
	mute atomic.Bool // answers are dropped, and the connections with them

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func startProxy(tb testing.TB, to string) *proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{Listener: l, to: to, conns: make(map[net.Conn]struct{})}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	tb.Cleanup(func() { l.Close(); p.cut() })
	return p
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	up, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer up.Close()
	p.mu.Lock()
	p.conns[c], p.conns[up] = struct{}{}, struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
		delete(p.conns, up)
	}()
	go func() { io.Copy(up, c); up.Close() }()
	buffer := make([]byte, 4096)
	for {
		n, err := up.Read(buffer)
		if err != nil || p.mute.Load() {
			return
		}
		if _, err := c.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// The answers to commits are dropped after etcd has carried them out.
func TestAnswersOfEtcdAreLost(t *testing.T) {
	t.Parallel()
	m := etcdtest.Start(t, 1)
	p := startProxy(t, m.Endpoints(0)[0])
	s := open(t, newCluster([]string{p.Addr().String()}, nil, "", ""), Options{away: time.Minute})
	defer s.Close(context.Background())
	c := start(t, s, "blue")
	c.countTo(1)
	for n := int64(2); n <= 6; n++ {
		unknown := s.Stats().Unknown
		p.mute.Store(true)
		c.Append(n)
		for s.Stats().Unknown == unknown {
			time.Sleep(time.Millisecond)
			p.cut()
		}
		p.mute.Store(false)
		for got := range c.written {
			if got == n {
				break
			}
		}
	}
	if now, err := registerOf(m).read(t.Context(), "games/blue"); err != nil {
		t.Error(err)
	} else if v, err := decodeGame(now); err != nil || v.Count != 6 {
		t.Errorf("etcd has %+v, %v", v, err)
	}
}

// etcd's leader ends, and comes back: the count goes on, and nothing is lost.
func TestTheLeaderOfEtcdEnds(t *testing.T) {
	t.Parallel()
	m := etcdtest.Start(t, 3)
	s := open(t, registerOf(m), Options{away: 30 * time.Second})
	defer s.Close(context.Background())
	c := start(t, s, "blue")
	n := int64(0)
	for range 2 {
		n += 10
		c.countTo(n)
		leader := m.Leader()
		if leader < 0 {
			t.Fatal("etcd has no leader")
		}
		m.Stop(leader)
		began := time.Now()
		n++
		c.countTo(n)
		t.Logf("the next number is written %v after the leader had ended", time.Since(began))
		m.Restart(t, leader)
	}
}

// What several servers do with one game, while connections break, is as if there
// were one register: each append and each opening happens at one moment.
func TestHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	m := etcdtest.Start(t, 3)
	var mu sync.Mutex
	var history []porcupine.Operation
	began := time.Now()
	record := func(client int, call time.Time, in, out any) {
		mu.Lock()
		defer mu.Unlock()
		history = append(history, porcupine.Operation{ClientId: client, Input: in, Call: call.Sub(began).Nanoseconds(), Output: out, Return: time.Since(began).Nanoseconds()})
	}
	var running sync.WaitGroup
	var acked atomic.Int64
	enough := func() bool {
		ran := time.Since(began)
		return ran > 3*time.Second && acked.Load() >= 100 || ran > 5*time.Minute
	}
	for i := range 3 {
		p := startProxy(t, m.Endpoints(i)[0])
		others := append([]string{p.Addr().String()}, m.Endpoints(i)[1:]...)
		s := open(t, newCluster(others, nil, "", ""), Options{Name: fmt.Sprintf("server%d", i), away: 10 * time.Second})
		defer s.Close(context.Background())
		random := rand.New(rand.NewPCG(1, uint64(i)))
		running.Go(func() {
			for !enough() {
				call := time.Now()
				count, err := s.Open(t.Context(), "blue", true)
				if err != nil { // another one owns it
					time.Sleep(time.Duration(random.IntN(5)) * time.Millisecond)
					continue
				}
				record(i, call, read{}, count.Last())
				play(count, i, random, p, record, &acked)
			}
		})
	}
	running.Wait()
	for i := range history { // what has no answer may happen at any time
		if history[i].Output == unknown {
			history[i].Return = time.Since(began).Nanoseconds()
		}
	}
	result, _ := porcupine.CheckOperationsVerbose(model, history, time.Minute)
	t.Logf("%d operations, %d numbers acked", len(history), acked.Load())
	if result != porcupine.Ok {
		t.Errorf("the history of %d operations is %s", len(history), result)
	}
	if acked.Load() < 100 {
		t.Errorf("only %d numbers were acked", acked.Load())
	}
}

type (
	read     struct{}
	add      struct{ from, to int64 }
	appended int
)

const (
	done appended = iota
	unknown
)

// model is a count: an append leads from one number to the next, a read returns it.
var model = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{int64(0)} },
	Step: func(state, input, output any) []any {
		n := state.(int64)
		switch in := input.(type) {
		case read:
			if n == output.(int64) {
				return []any{n}
			}
		case add:
			if output == done && n == in.from {
				return []any{in.to}
			}
			if output == unknown { // it was, or was not
				if n == in.from {
					return []any{n, in.to}
				}
				return []any{n}
			}
		}
		return nil
	},
	Equal: func(a, b any) bool { return a == b },
}).ToModel()

// play appends a few numbers to a count, and then closes it, or has its connection
// cut.
func play(count store.Count, client int, random *rand.Rand, p *proxy, record func(int, time.Time, any, any), acked *atomic.Int64) {
	written, ended := make(chan int64, 100), make(chan error, 1)
	go func() {
		ended <- count.Run(store.Callbacks{OnCommit: func(n int64, _ time.Duration) { written <- n }, OnHealth: func(error) {}})
	}()
	defer count.Close(context.Background())
	for range random.IntN(20) {
		from := count.Last()
		call := time.Now()
		if random.IntN(10) == 0 {
			p.mute.Store(true)
			time.AfterFunc(time.Duration(random.IntN(20))*time.Millisecond, func() { p.cut(); p.mute.Store(false) })
		}
		count.Append(from + 1)
		select {
		case n := <-written:
			record(client, call, add{from, n}, done)
			acked.Add(1)
		case <-ended:
			record(client, call, add{from, from + 1}, unknown)
			return
		}
	}
}
