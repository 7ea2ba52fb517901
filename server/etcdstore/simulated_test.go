package etcdstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// network carries the requests of simulated servers to a register, and their
// reports to the simulation. Every request, answer and report waits until the
// simulation lets it go, one at a time, so that a run does not depend on how
// goroutines are scheduled.
type network struct {
	register *client

	mu      sync.Mutex
	arrived []*parcel // that the simulation has not seen yet
}

// parcel is a request to the register, or something that a server reports.
type parcel struct {
	from *server
	what string // for the history, and to put those of one moment in order
	size int    // changes in a commit

	carryOut func() (any, error) // nil for a report
	arrive   func()              // looks at a report, or nil
	carried  bool
	sent     time.Time
	due      time.Time // to be carried out, and then to be answered

	released chan struct{}
	answered bool // nobody waits for it any more: value and err stay as they are
	value    any
	err      error
}

// park hands a parcel to the simulation, and waits until it is released. It
// returns an error if ctx ended before that.
func (n *network) park(ctx context.Context, p *parcel) error {
	p.released, p.sent = make(chan struct{}), time.Now()
	n.mu.Lock()
	if p.from.dead {
		n.mu.Unlock()
		p.err = errLost
		return nil
	}
	n.arrived = append(n.arrived, p)
	p.from.parked[p] = true
	n.mu.Unlock()
	select {
	case <-p.released:
		return nil
	case <-ctx.Done():
		n.mu.Lock()
		defer n.mu.Unlock()
		p.answered = true
		delete(p.from.parked, p)
		return ctx.Err()
	}
}

// take returns the parcels that have arrived since the last call.
func (n *network) take() []*parcel {
	n.mu.Lock()
	defer n.mu.Unlock()
	arrived := n.arrived
	n.arrived = nil
	slices.SortStableFunc(arrived, func(a, b *parcel) int {
		return cmp.Or(cmp.Compare(a.from.id, b.from.id), strings.Compare(a.what, b.what))
	})
	return arrived
}

// carry carries out a request, also if nobody waits for its answer any more.
func (n *network) carry(p *parcel) (any, error) {
	value, err := p.carryOut()
	p.carried = true
	n.mu.Lock()
	defer n.mu.Unlock()
	if !p.answered {
		p.value, p.err = value, err
	}
	return value, err
}

// release ends the waiting for a parcel, with an error in place of its answer if that
// is not nil.
func (n *network) release(p *parcel, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !p.answered {
		if err != nil {
			p.value, p.err = nil, err
		}
		p.answered = true
		delete(p.from.parked, p)
		close(p.released)
	}
}

// kill has a server, from now on, hear and say nothing. What it sent stays under way.
func (n *network) kill(s *server) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s.dead = true
	for p := range s.parked {
		p.value, p.err, p.answered = nil, errLost, true
		close(p.released)
	}
	clear(s.parked)
}

// purpose is the key of a context's value that says what its requests are for: the
// same request may be made for several games at the same moment.
type purpose struct{}

// send makes a request by way of the network.
func send[T any](ctx context.Context, s *server, what string, size int, request func(*client) (T, error)) (none T, err error) {
	if why, ok := ctx.Value(purpose{}).(string); ok {
		what += ", to " + why
	}
	p := &parcel{from: s, what: what, size: size}
	p.carryOut = func() (any, error) { return request(s.network.register) }
	if err := s.network.park(ctx, p); err != nil {
		return none, err
	}
	if p.err != nil {
		return none, p.err
	}
	return p.value.(T), nil
}

func (s *server) read(ctx context.Context, key string) (entry, error) {
	return send(ctx, s, "read "+key, 0, func(c *client) (entry, error) { return c.read(context.Background(), key) })
}

func (s *server) readAll(ctx context.Context, keys []string) ([]entry, error) {
	return send(ctx, s, fmt.Sprintf("read %q", keys), 0, func(c *client) ([]entry, error) { return c.readAll(context.Background(), keys) })
}

func (s *server) list(ctx context.Context, from, to string, most int) (page, error) {
	return send(ctx, s, "list "+from, 0, func(c *client) (page, error) { return c.list(context.Background(), from, to, most) })
}

func (s *server) commit(ctx context.Context, changes []change) ([]outcome, error) {
	var what strings.Builder
	what.WriteString("commit")
	for _, ch := range changes {
		what.WriteString(" " + ch.key + "=" + string(ch.value))
	}
	return send(ctx, s, what.String(), len(changes), func(c *client) ([]outcome, error) {
		return c.commit(context.Background(), changes)
	})
}

func (s *server) grant(ctx context.Context, ttl time.Duration) (lease, error) {
	return send(ctx, s, "grant", 0, func(c *client) (lease, error) { return c.grant(context.Background(), ttl) })
}

func (s *server) renew(ctx context.Context, l lease) error {
	_, err := send(ctx, s, "renew", 0, func(c *client) (bool, error) { return true, c.renew(context.Background(), l) })
	return err
}

func (s *server) revoke(ctx context.Context, l lease) error {
	_, err := send(ctx, s, "revoke", 0, func(c *client) (bool, error) { return true, c.revoke(context.Background(), l) })
	return err
}

func (s *server) close() {}

func (e entry) String() string { return string(e.value) + "@" + strconv.FormatInt(e.revision, 10) }
