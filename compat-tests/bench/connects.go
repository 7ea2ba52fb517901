package main

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// connectors is how many clients connect at the same time, repeatedly: enough that their
// waiting does not limit the rate.
const connectors = 256

// connects measures how many clients per second connect as the Python client does: polling,
// upgrade, and "40" over the WebSocket. Each has another game in its query.
func (b *bench) connects() error {
	// Not the bare library, which loses a CONNECT that follows quickly.
	names := b.measured(goServer, node, packages, flask)
	servers := make([]*server, 0, len(names))
	for _, name := range names {
		var flags []string
		if name == goServer { // which would refuse some, since all come from one address
			flags = []string{"-max-games", "0"}
		}
		s, err := b.start(name, flags...)
		if err != nil {
			return err
		}
		defer s.kill()
		servers = append(servers, s)
	}
	rates, loads := make(series), make(series)
	for rep := range b.reps {
		for _, s := range inTurn(servers, rep) {
			var rate float64
			if err := b.profile(s, syscall.SIGUSR1); err != nil {
				return err
			}
			load, err := loading(func() (err error) {
				rate, err = connecting(s.addr, b.seconds)
				return err
			})
			if err := b.profile(s, syscall.SIGUSR2); err != nil {
				return err
			}
			if err != nil {
				return fmt.Errorf("%s: %w", s.head, err)
			}
			rates.add(s.name, rate)
			loads.add(s.name, load)
		}
	}
	r := rates.median()
	b.table.row(fmt.Sprintf("connects per second, polling then upgrade, handshake to 40, %d at a time, each in a new game", connectors), rate, r, loads.median(),
		r.against(node, "Node", false, 2))
	return nil
}

// connecting returns how many clients per second connect during that time, each in a new
// game.
func connecting(addr string, d time.Duration) (rate float64, err error) {
	var connected, clients atomic.Int64
	var all errgroup.Group
	began := time.Now()
	for range connectors {
		all.Go(func() error {
			for time.Since(began) < d {
				game := fmt.Sprintf("&game=bench-%d-%d", began.UnixNano(), clients.Add(1))
				c, err := connect(addr, game)
				if err != nil {
					return err
				}
				connected.Add(1)
				c.Close()
			}
			return nil
		})
	}
	err = all.Wait()
	return float64(connected.Load()) / time.Since(began).Seconds(), err
}

// connect connects one client, up to "40". All its requests have the query. A client that
// is refused, as all seats are taken, tries again.
func connect(addr, query string) (*webSocket, error) {
	p, err := openPolling(addr, query)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	c, err := upgrade(addr, "/socket.io/?EIO=4&transport=websocket"+query+"&sid="+p.sid)
	if err != nil {
		return nil, err
	}
	joined := false
	for send := []string{"2probe"}; !joined; {
		for _, packet := range send {
			c.Queue([]byte(packet))
		}
		send = nil
		if err = c.Flush(); err != nil {
			break
		}
		if err = c.receive(func(packet []byte) error {
			switch {
			case string(packet) == "3probe":
				send = []string{"5", "40"}
			case bytes.HasPrefix(packet, []byte("44")):
				send = []string{"40"}
			case bytes.HasPrefix(packet, []byte("40")):
				joined = true
			}
			return nil
		}); err != nil {
			break
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
