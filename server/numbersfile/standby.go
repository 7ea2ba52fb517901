package numbersfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"counting/server/store"
)

// OwnerName is the name of the file, within the data directory, in which the server
// that holds the lock publishes its internal address and a secret. Only its user can
// read the file. Its content is meaningless while no server holds the lock.
const OwnerName = "owner"

// publishRetry is the time between attempts to write that file.
const publishRetry = time.Second

// Shared is a data directory on which several servers may be started. The one that
// holds its lock owns all games; the others stand by, and one of them takes the lock
// within lockPoll after the owner has released it or died. It is a store.Store: see
// Dir.
type Shared struct {
	path     string
	maxGames int
	self     store.Elsewhere
	options  Options
	owned    chan struct{} // closed when dir is set
	cancel   func()
	done     chan struct{} // closed when run has returned

	mu     sync.Mutex
	dir    *Dir
	err    error            // why this server does not own the directory
	others *store.Elsewhere // the owner that was last reported
	closed bool
}

// OpenShared creates the directory if needed, and takes its lock or, if another
// server holds it, stands by. self is what this server publishes in the owner file
// when it has the lock. It keeps at most maxGames games in addition to the default one;
// 0 means no limit. The caller must Close it.
func OpenShared(path string, maxGames int, self store.Elsewhere, options Options) (*Shared, error) {
	s := &Shared{path: path, maxGames: maxGames, self: self, options: options.defaults(), owned: make(chan struct{}), done: make(chan struct{})}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, unusable(err)
	}
	if err := s.try(); err != nil && !errors.Is(err, errHeld) {
		return nil, unusable(unlockable("data directory "+path, err))
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go s.run(ctx)
	return s, nil
}

// try takes the lock, or determines the owner.
func (s *Shared) try() error {
	held, err := s.options.tryLockDir(s.path)
	if err != nil {
		s.standBy(err)
		return err
	}
	dir, err := newDir(s.path, held, s.maxGames, s.options)
	if err != nil {
		s.standBy(err)
		return err
	}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.dir = dir
	}
	s.mu.Unlock()
	if closed {
		return dir.Close(context.Background())
	}
	close(s.owned)
	return nil
}

// standBy records why this server does not own the directory.
func (s *Shared) standBy(err error) {
	var owner *store.Elsewhere
	switch {
	case !errors.Is(err, errHeld):
		err = fmt.Errorf("%w: %w", store.ErrNoOwner, unlockable("data directory "+s.path, err))
	default:
		if owner, err = readOwner(s.path); err == nil {
			err = owner
		} else {
			err = fmt.Errorf("%w: data directory %s is in use by a server that has not published its address, such as one of an older version (%w)",
				store.ErrNoOwner, s.path, err)
		}
	}
	s.mu.Lock()
	changed := s.err == nil || owner != nil && (s.others == nil || *s.others != *owner)
	s.err = err
	if owner != nil {
		s.others = owner
	}
	s.mu.Unlock()
	if !changed || s.options.Progress == nil {
		return
	}
	if owner == nil {
		s.options.Progress(fmt.Sprintf("Standing by: data directory %s is in use by another server.", s.path))
	} else {
		s.options.Progress(fmt.Sprintf("Standing by for %s at %s, which has data directory %s: requests are forwarded to it.", owner.Owner, owner.Addr, s.path))
	}
}

// run waits for the lock, and then writes the owner file.
func (s *Shared) run(ctx context.Context) {
	defer close(s.done)
	if s.await(ctx) {
		s.publish(ctx)
	}
}

// await waits for the lock. It reports false if ctx ends before.
func (s *Shared) await(ctx context.Context) bool {
	began := time.Now()
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for stoodBy := false; ; stoodBy = true {
		select {
		case <-s.owned:
			if stoodBy && s.options.Progress != nil {
				s.options.Progress(fmt.Sprintf("Taking over data directory %s after %v of standing by.", s.path, time.Since(began).Round(time.Second)))
			}
			return true
		default:
		}
		select {
		case <-poll.C:
			s.try()
		case <-ctx.Done():
			return false
		}
	}
}

// publish writes the owner file. On a full disk it tries again.
func (s *Shared) publish(ctx context.Context) {
	for report := true; ; report = false {
		err := writeOwner(s.path, s.self)
		if err == nil {
			return
		}
		if report && s.options.Progress != nil {
			s.options.Progress("Servers that stand by cannot learn the address of this one: " + err.Error())
		}
		select {
		case <-time.After(publishRetry):
		case <-ctx.Done():
			return
		}
	}
}

// Owned returns a channel that is closed when this server has the lock: see
// store.Store.
func (s *Shared) Owned() <-chan struct{} { return s.owned }

// held returns the directory if this server has its lock.
func (s *Shared) held() (*Dir, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.dir != nil:
		return s.dir, nil
	case s.closed:
		return nil, errClosed
	}
	return nil, s.err
}

// Open opens the count of a game: see store.Store.
func (s *Shared) Open(ctx context.Context, game string, create bool) (store.Count, error) {
	d, err := s.held()
	if err != nil {
		return nil, err
	}
	return d.Open(ctx, game, create)
}

// OpenFile opens numbers.txt as the Options of the directory say, which may be
// faithful mode. It must be closed before the directory is.
func (s *Shared) OpenFile(ctx context.Context) (*File, error) {
	d, err := s.held()
	if err != nil {
		return nil, err
	}
	f, err := open(ctx, d.file(store.Default), d.lock, d.shared, d.options)
	if err != nil {
		return nil, unusable(err)
	}
	return f, nil
}

// Games lists games: see store.Store. It needs no lock.
func (s *Shared) Games(ctx context.Context, after string, n int) ([]store.Game, error) {
	return (&Dir{path: s.path}).Games(ctx, after, n)
}

// Ready returns why counts cannot be written: see store.Store.
func (s *Shared) Ready() error {
	d, err := s.held()
	if err != nil {
		return err
	}
	return d.Ready()
}

// Close closes all counts, and releases the lock: see store.Store.
func (s *Shared) Close(ctx context.Context) error {
	s.mu.Lock()
	d, first := s.dir, !s.closed
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	if d == nil {
		return nil
	}
	if first && ctx.Err() == nil {
		removed := make(chan struct{})
		go func() {
			defer close(removed)
			<-s.done
			os.Remove(filepath.Join(s.path, OwnerName))
		}()
		select {
		case <-removed: // this server holds the lock, so the file is its own
		case <-ctx.Done(): // the disk hangs
		}
	}
	return d.Close(ctx)
}

// readOwner reads the owner file.
func readOwner(dir string) (*store.Elsewhere, error) {
	text, err := os.ReadFile(filepath.Join(dir, OwnerName))
	if err != nil {
		return nil, err
	}
	owner := new(store.Elsewhere)
	if err := json.Unmarshal(text, owner); err != nil {
		return nil, fmt.Errorf("%s: %w", OwnerName, err)
	}
	if owner.Addr == "" || owner.Secret == "" {
		return nil, fmt.Errorf("%s has no address or no secret", OwnerName)
	}
	return owner, nil
}

// writeOwner writes the owner file, all of it or nothing.
func writeOwner(dir string, owner store.Elsewhere) error {
	text, err := json.Marshal(owner)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, OwnerName)
	temp := path + ".tmp"
	os.Remove(temp) // of a server that was killed
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
	}
	return err
}
