// Package etcdstore keeps the counts of games in etcd, for several servers. Only the
// owner of a game writes its count: see Store.
package etcdstore

import (
	"context"
	"errors"
	"time"
)

// A register is the part of etcd that the store uses: keys with values, with linearizable
// reads and compare-and-swap. Its methods may be called concurrently, and return soon
// after ctx ends.
type register interface {
	// read returns the entry of a key at some moment during the call. If there is none,
	// its revision is 0.
	read(ctx context.Context, key string) (entry, error)
	// readAll returns the entries of up to maxChanges keys, in the order of keys, at some
	// moment during the call.
	readAll(ctx context.Context, keys []string) ([]entry, error)
	// list returns up to most entries with from <= key < to, sorted by key, at some
	// moment during the call.
	list(ctx context.Context, from, to string, most int) (page, error)
	// commit makes at most maxChanges changes of different keys atomically, each only if
	// its key has the expected revision. The outcomes are in the order of the changes.
	// If it returns errRefused or errNoLease, nothing was changed; after any other error
	// the changes may have been made, or may still be made later.
	commit(ctx context.Context, changes []change) ([]outcome, error)
	// grant returns a new lease. Its keys are deleted when it was not renewed for ttl,
	// in whole seconds.
	grant(ctx context.Context, ttl time.Duration) (lease, error)
	// renew returns errNoLease if the lease has ended.
	renew(ctx context.Context, l lease) error
	// revoke ends a lease, with its keys.
	revoke(ctx context.Context, l lease) error
	// close closes the connections.
	close()
}

// Errors of a register. They are wrapped. Any other error means that there was no answer
// in time.
var (
	errRefused = errors.New("etcd refuses the request")
	errNoLease = errors.New("the lease has ended")
)

// maxChanges is how many changes one commit may have. etcd allows 128 operations, and
// counts each nested transaction as one.
const maxChanges = 100

type lease int64

// entry is a key and its value.
type entry struct {
	key      string
	value    []byte
	revision int64 // of its last change, or 0 if there is no such key
}

// page is a part of the entries in a range.
type page struct {
	entries  []entry
	total    int64 // how many the range has
	revision int64 // of the last change of any key
}

// change is one change of a commit.
type change struct {
	key      string
	expected int64  // the revision that the key must have; 0: it must not exist
	value    []byte // nil deletes the key
	lease    lease  // deletes the key when it ends, or 0
}

// outcome is the outcome of a change.
type outcome struct {
	done bool
	// now is the entry after the commit. If the change was done, only its revision
	// is set.
	now entry
}
