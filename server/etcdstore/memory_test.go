package etcdstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// memoryRegister is a register in memory. Stores share it by way of clients.
type memoryRegister struct {
	mu       sync.Mutex
	revision int64
	entries  map[string]*memoryEntry
	leases   map[lease]*time.Timer
	nextID   lease
	writes   []write // of all keys, in order
}

type memoryEntry struct {
	entry
	lease lease
}

// write is a change that was carried out; the value is nil if the key was deleted.
type write struct {
	key      string
	value    []byte
	revision int64
}

func newMemory() *memoryRegister {
	return &memoryRegister{revision: 1, entries: make(map[string]*memoryEntry), leases: make(map[lease]*time.Timer)}
}

// since returns the changes after the first n.
func (m *memoryRegister) since(n int) []write {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.writes[n:])
}

func (m *memoryRegister) has(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries[key] != nil
}

// client is one store's way to a register in memory. fault, if not nil, is called
// for each request and returns what is wrong with it. It may wait.
type client struct {
	*memoryRegister
	mu    sync.Mutex
	fault func(ctx context.Context, request string) fault
}

// fault is that of a request: an error in place of its being carried out, or after
// it.
type fault struct{ before, after error }

var errLost = errors.New("the connection is lost")

func (c *client) setFault(f func(ctx context.Context, request string) fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = f
}

// cut lets no request through.
func cut(ctx context.Context, _ string) fault { return fault{before: errLost} }

// hang lets each request wait until its time is over.
func hang(ctx context.Context, _ string) fault {
	<-ctx.Done()
	return fault{before: ctx.Err()}
}

// do carries out a request, with the fault that it has.
func (c *client) do(ctx context.Context, request string, carryOut func() error) error {
	c.mu.Lock()
	f := c.fault
	c.mu.Unlock()
	var wrong fault
	if f != nil {
		wrong = f(ctx, request)
	}
	if wrong.before != nil {
		return wrong.before
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c.memoryRegister.mu.Lock()
	err := carryOut()
	c.memoryRegister.mu.Unlock()
	if wrong.after != nil {
		return wrong.after
	}
	return err
}

func (c *client) read(ctx context.Context, key string) (e entry, err error) {
	err = c.do(ctx, "read", func() error {
		if m := c.entries[key]; m != nil {
			e = m.entry
		}
		return nil
	})
	return e, err
}

func (c *client) readAll(ctx context.Context, keys []string) (entries []entry, err error) {
	err = c.do(ctx, "read all", func() error {
		for _, key := range keys {
			e := entry{key: key}
			if m := c.entries[key]; m != nil {
				e = m.entry
			}
			entries = append(entries, e)
		}
		return nil
	})
	return entries, err
}

func (c *client) list(ctx context.Context, from, to string, most int) (p page, err error) {
	err = c.do(ctx, "list", func() error {
		var keys []string
		for key := range c.entries {
			if from <= key && key < to {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		p = page{total: int64(len(keys)), revision: c.revision}
		for _, key := range keys[:min(most, len(keys))] {
			p.entries = append(p.entries, c.entries[key].entry)
		}
		return nil
	})
	return p, err
}

func (c *client) commit(ctx context.Context, changes []change) (out []outcome, err error) {
	err = c.do(ctx, "commit", func() error {
		for _, ch := range changes {
			if ch.lease != 0 && c.leases[ch.lease] == nil {
				return errNoLease
			}
		}
		revision := c.revision + 1
		for _, ch := range changes {
			now := entry{key: ch.key}
			if m := c.entries[ch.key]; m != nil {
				now = m.entry
			}
			if now.revision != ch.expected {
				out = append(out, outcome{now: now})
				continue
			}
			c.revision = revision
			out = append(out, outcome{done: true, now: entry{key: ch.key, revision: revision}})
			c.writes = append(c.writes, write{ch.key, ch.value, revision})
			if ch.value == nil {
				delete(c.entries, ch.key)
			} else {
				c.entries[ch.key] = &memoryEntry{entry{ch.key, ch.value, revision}, ch.lease}
			}
		}
		return nil
	})
	return out, err
}

func (c *client) grant(ctx context.Context, ttl time.Duration) (l lease, err error) {
	err = c.do(ctx, "grant", func() error {
		c.nextID++
		l = c.nextID
		c.leases[l] = time.AfterFunc(ttl, func() { c.end(l) })
		return nil
	})
	return l, err
}

func (c *client) renew(ctx context.Context, l lease) error {
	return c.do(ctx, "renew", func() error {
		timer := c.leases[l]
		if timer == nil || !timer.Stop() {
			return errNoLease
		}
		timer.Reset(leaseTime)
		return nil
	})
}

func (c *client) revoke(ctx context.Context, l lease) error {
	return c.do(ctx, "revoke", func() error {
		if timer := c.leases[l]; timer != nil && timer.Stop() {
			go c.end(l)
		}
		return nil
	})
}

// end ends a lease, with its keys.
func (m *memoryRegister) end(l lease) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.leases, l)
	for key, e := range m.entries {
		if e.lease == l {
			m.revision++
			m.writes = append(m.writes, write{key, nil, m.revision})
			delete(m.entries, key)
		}
	}
}

func (c *client) close() {}
