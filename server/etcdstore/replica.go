package etcdstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// startRetry is the time between attempts to reach etcd at the start.
const startRetry = 500 * time.Millisecond

// reportTime is the time between log lines while etcd does not answer at the start.
const reportTime = 5 * time.Second

// join determines the server's incarnation and writes its replica key, as soon as etcd
// answers.
func (s *Store) join(ctx context.Context) error {
	var reported time.Time
	for {
		err := s.tryJoin(ctx)
		if err == nil || errors.Is(err, errRefused) {
			return err
		}
		if time.Since(reported) >= reportTime {
			reported = time.Now()
			s.log.Warn("Waiting for etcd: " + err.Error())
		}
		select {
		case <-time.After(startRetry):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w: %w", context.Cause(ctx), ErrAway, err)
		}
	}
}

func (s *Store) tryJoin(ctx context.Context) error {
	// The revision of etcd grows with each change, so an incarnation is greater than
	// all earlier ones.
	p, err := s.list(ctx, s.replicaKey(""), end(s.replicaKey("")), 1)
	if err != nil {
		return err
	}
	s.incarnation = p.revision
	s.owner = fmt.Sprintf("%s#%d", s.options.Name, p.revision)
	return s.announce(ctx)
}

// announce writes the replica key, with a new lease. It must not be called concurrently.
func (s *Store) announce(ctx context.Context) error {
	var l lease
	err := s.call(ctx, func(ctx context.Context) (err error) {
		l, err = s.register.grant(ctx, leaseTime)
		return err
	})
	if err != nil {
		return err
	}
	value := encode(replicaValue{Addr: s.options.Addr, Secret: s.options.Secret, Host: s.options.Name})
	now, err := s.read(ctx, s.replicaKey(s.owner))
	if err != nil {
		return err
	}
	if now.revision != 0 && !bytes.Equal(now.value, value) {
		return fmt.Errorf("another server with the name %s was started at the same moment", s.options.Name)
	}
	out, err := s.commit(ctx, []change{{key: now.key, expected: now.revision, value: value, lease: l}})
	switch {
	case err != nil:
		return err
	case !out[0].done:
		return fmt.Errorf("key %q has changed meanwhile", now.key)
	}
	s.mu.Lock()
	s.lease = l
	s.mu.Unlock()
	return nil
}

// keep renews the lease, and detects whether etcd answers, until ctx ends.
func (s *Store) keep(ctx context.Context) {
	beats := time.NewTicker(beat)
	defer beats.Stop()
	for ctx.Err() == nil { // or else select might take a beat that waits
		select {
		case <-beats.C:
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		l := s.lease
		s.mu.Unlock()
		err := s.call(ctx, func(ctx context.Context) error { return s.register.renew(ctx, l) })
		if errors.Is(err, errNoLease) {
			s.log.Warn("The lease in etcd had ended; other servers may have taken over games.")
			err = s.announce(ctx)
		}
		if ctx.Err() == nil {
			s.watch(err)
		}
	}
}

// watch closes all open games when etcd has not answered for awayTime. err is that of
// the last request.
func (s *Store) watch(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	silent := time.Since(s.answered)
	switch away := silent >= s.options.away; {
	case away && s.away == nil:
		s.away = fmt.Errorf("%w since %s: %w", ErrAway, s.answered.UTC().Format(time.TimeOnly), err)
		s.log.Error("All games are closed: " + s.away.Error())
		s.commits.setAway(s.away)
		for _, c := range s.open {
			if c != nil {
				c.fail(s.away)
			}
		}
		clear(s.owners)
	case !away && s.away != nil:
		s.away = nil
		s.log.Info("etcd answers again.")
		s.commits.setAway(nil)
	}
}

// leave revokes the lease, so that other servers do not wait for its end.
func (s *Store) leave(ctx context.Context) {
	s.mu.Lock()
	l := s.lease
	s.mu.Unlock()
	if err := s.call(ctx, func(ctx context.Context) error { return s.register.revoke(ctx, l) }); err != nil {
		s.log.Debug("the lease was not revoked: " + err.Error())
	}
}

// call makes a request with the store's timeout, and records an answer.
func (s *Store) call(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.request)
	defer cancel()
	err := request(ctx)
	if err == nil || errors.Is(err, errRefused) || errors.Is(err, errNoLease) {
		s.mu.Lock()
		s.answered = time.Now()
		s.mu.Unlock()
	}
	return err
}

func (s *Store) read(ctx context.Context, key string) (e entry, err error) {
	err = s.call(ctx, func(ctx context.Context) (err error) {
		e, err = s.register.read(ctx, key)
		return err
	})
	e.key = key
	return e, err
}

func (s *Store) readAll(ctx context.Context, keys []string) (entries []entry, err error) {
	err = s.call(ctx, func(ctx context.Context) (err error) {
		entries, err = s.register.readAll(ctx, keys)
		return err
	})
	return entries, err
}

func (s *Store) list(ctx context.Context, from, to string, most int) (p page, err error) {
	err = s.call(ctx, func(ctx context.Context) (err error) {
		p, err = s.register.list(ctx, from, to, most)
		return err
	})
	return p, err
}

func (s *Store) commit(ctx context.Context, changes []change) (out []outcome, err error) {
	err = s.call(ctx, func(ctx context.Context) (err error) {
		out, err = s.register.commit(ctx, changes)
		return err
	})
	return out, err
}
