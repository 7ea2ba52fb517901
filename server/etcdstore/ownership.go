package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"counting/server/store"
)

// claim makes this server the owner of a game. While etcd does not answer it tries
// again, for as long as etcd may be away.
func (s *Store) claim(ctx context.Context, game string, create bool) (*Count, error) {
	began := time.Now()
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		c, err := s.tryClaim(ctx, game, create)
		if s.isClosed() && err != nil {
			return nil, errClosed
		}
		if !errors.Is(err, store.ErrNoOwner) || errors.Is(err, errRefused) || time.Since(began) >= s.options.away {
			return c, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Store) tryClaim(ctx context.Context, game string, create bool) (*Count, error) {
	now, err := s.read(ctx, s.gameKey(game))
	for err == nil {
		if err = ctx.Err(); err != nil {
			break
		}
		var v gameValue
		if now.revision != 0 {
			if v, err = decodeGame(now); err != nil {
				return nil, err
			}
		}
		switch elsewhere, err := s.ownerOf(ctx, game, v); {
		case err != nil:
			return nil, err
		case elsewhere != nil:
			return nil, elsewhere
		case v.Count == 0 && !create: // an owner that has ended created it and counted nothing
			return nil, store.ErrNotFound
		}
		if now.revision == 0 && game != store.Default && s.options.MaxGames > 0 {
			if err := s.checkRoom(ctx); err != nil {
				return nil, err
			}
		}
		former := v.Owner
		won := func(revision int64) *Count {
			s.stats.claims.Add(1)
			if former != "" && former != s.owner {
				s.stats.takeovers.Add(1)
				s.log.Info("Taking over a game.", "game", game, "last", v.Count, "epoch", v.Epoch, "from", former)
			}
			return newCount(s, game, v, revision)
		}
		v.Owner = s.owner
		v.Epoch++
		var out outcome
		out, err = s.commits.change(change{key: now.key, expected: now.revision}, v.encode)
		switch {
		case err == nil && out.done:
			return won(out.now.revision), nil
		case err == nil:
			now = out.now
		case errors.Is(err, errRefused):
			return nil, fmt.Errorf("%w: %w", store.ErrNoOwner, err)
		default:
			now, err = s.read(ctx, now.key)
		}
		if err == nil && now.revision != 0 {
			// This may be the value of the claim itself, whose outcome was unknown.
			if v2, bad := decodeGame(now); bad == nil && v2 == v {
				return won(now.revision), nil
			}
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, fmt.Errorf("%w: %w", store.ErrNoOwner, err)
}

// ownerOf returns the owner of a game, or nil if this server may become the owner.
func (s *Store) ownerOf(ctx context.Context, game string, v gameValue) (*store.Elsewhere, error) {
	if v.Owner == "" || v.Owner == s.owner || earlier(v.Owner, s.options.Name, s.incarnation) {
		return nil, nil
	}
	now, err := s.read(ctx, s.replicaKey(v.Owner))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrNoOwner, err)
	}
	if now.revision == 0 {
		return nil, nil
	}
	r, err := decodeReplica(now)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrNoOwner, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuses(v.Owner) {
		return nil, nil
	}
	m := memory{owner: store.Elsewhere{Owner: r.Host, Addr: r.Addr, Secret: r.Secret}, key: v.Owner, until: time.Now().Add(rememberTime)}
	if len(s.owners) >= maxRemembered {
		clear(s.owners)
	}
	s.owners[game] = m
	return &m.owner, nil
}

// refuses reports whether a replica was recently reported to Refused. The caller holds
// s.mu.
func (s *Store) refuses(owner string) bool {
	until, ok := s.refusing[owner]
	if ok && !time.Now().Before(until) {
		delete(s.refusing, owner)
		return false
	}
	return ok
}

// Refused makes Open take over games of that owner for the next leaseTime: see
// store.Refuser.
func (s *Store) Refused(owner *store.Elsewhere) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.owners {
		if m.owner.Addr == owner.Addr && m.owner.Secret == owner.Secret {
			now := time.Now()
			maps.DeleteFunc(s.refusing, func(_ string, until time.Time) bool { return !now.Before(until) })
			s.refusing[m.key] = now.Add(leaseTime)
			return
		}
	}
}
