// Package etcdstore keeps the counts of games in etcd, for several servers. Each
// game has one owner, which alone writes its count: see Store.
package etcdstore

import (
	"context"
	"errors"
	"time"
)

// A register is what the store needs of etcd: keys with values, which are read as
// they are and changed if they are as expected. Its methods may be called by any
// number of goroutines, and return soon after ctx ends.
type register interface {
	// read returns the entry of a key as it is at some moment during the call. If
	// there is none, its revision is 0.
	read(ctx context.Context, key string) (entry, error)
	// readAll returns the entries of up to maxChanges keys, in their order, as they are
	// at some moment during the call.
	readAll(ctx context.Context, keys []string) ([]entry, error)
	// list returns up to most entries with from <= key < to, in the order of their
	// keys and as they are at some moment during the call.
	list(ctx context.Context, from, to string, most int) (page, error)
	// commit makes changes, of different keys and at most maxChanges, at the same
	// moment, each of them only if its key is as expected. The outcomes are in the
	// order of the changes. With an error, either all changes that were to be
	// made were, or will still be, or none: none if it is errRefused or errNoLease.
	commit(ctx context.Context, changes []change) ([]outcome, error)
	// grant returns a new lease. When it was not renewed for that long, in whole
	// seconds, its keys are deleted.
	grant(ctx context.Context, ttl time.Duration) (lease, error)
	// renew returns errNoLease if the lease has ended.
	renew(ctx context.Context, l lease) error
	// revoke ends a lease, with its keys.
	revoke(ctx context.Context, l lease) error
	// close ends the connections.
	close()
}

// The errors of a register, wrapped. Any other one says that there was no answer in
// time.
var (
	errRefused = errors.New("etcd refuses the request")
	errNoLease = errors.New("the lease has ended")
)

// maxChanges is how many changes one commit may have: etcd takes 128 operations,
// of which a nested transaction is one and has as many left as remain.
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

// change is one of a commit.
type change struct {
	key      string
	expected int64  // the revision that the key must have; 0: it must not exist
	value    []byte // nil deletes the key
	lease    lease  // with which the key ends, or 0
}

// outcome is that of a change.
type outcome struct {
	done bool
	// now is the entry after the commit. If the change was done, only its revision
	// is set.
	now entry
}
