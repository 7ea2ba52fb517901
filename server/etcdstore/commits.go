package etcdstore

import (
	"context"
	"sync"
)

// maxCommits is how many commits may be in progress. Further changes wait for the next
// commit.
const maxCommits = 4

// commits batches the changes of all games of a store: all that wait go into the next
// commit. Its methods may be called concurrently.
type commits struct {
	commit func(context.Context, []change) ([]outcome, error) // Store.commit

	mu      sync.Mutex
	waiting []*pending
	running int
	away    error // the error of all changes while etcd does not answer, or nil
}

// pending is a change that waits for its commit to begin or to end.
type pending struct {
	change
	value   func() []byte
	done    chan struct{} // closed when outcome and err are set
	outcome outcome
	err     error
}

// change makes a change, and waits for its commit. A game never has two changes at the
// same time: it has one caller. value is called when the commit begins, and returns the
// new value. The results are those of register.commit.
func (c *commits) change(ch change, value func() []byte) (outcome, error) {
	p := &pending{change: ch, value: value, done: make(chan struct{})}
	c.mu.Lock()
	if err := c.away; err != nil {
		c.mu.Unlock()
		return outcome{}, err
	}
	c.waiting = append(c.waiting, p)
	c.start()
	c.mu.Unlock()
	<-p.done
	return p.outcome, p.err
}

// setAway makes all waiting and future changes fail with err. If err is nil, changes are
// tried again.
func (c *commits) setAway(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = err
	if err == nil {
		return
	}
	for _, p := range c.waiting {
		p.err = err
		close(p.done)
	}
	c.waiting = nil
}

// start starts commits of the changes that wait. The caller holds c.mu.
func (c *commits) start() {
	for c.running < maxCommits {
		n := min(len(c.waiting), maxChanges)
		if n == 0 {
			return
		}
		c.running++
		go c.run(c.waiting[:n:n])
		c.waiting = c.waiting[n:]
	}
}

// run makes a batch of changes in one commit.
func (c *commits) run(batch []*pending) {
	changes := make([]change, len(batch))
	for i, p := range batch {
		p.change.value = p.value()
		changes[i] = p.change
	}
	outcomes, err := c.commit(context.Background(), changes)
	c.mu.Lock()
	c.running--
	c.start()
	c.mu.Unlock()
	for i, p := range batch {
		if p.err = err; err == nil {
			p.outcome = outcomes[i]
		}
		close(p.done)
	}
}
