package etcdstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// cluster is the register of an etcd cluster. It uses one member, and the next one when
// that does not answer. With requests to all members in turn, a member that is cut off
// would delay every third request.
type cluster struct {
	endpoints []string
	config    clientv3.Config

	mu      sync.Mutex
	current int // of endpoints
	clients []*clientv3.Client
	closed  bool
}

// bufferSize is the size of a connection's read and write buffers. The default of gRPC
// is 32 KiB.
const bufferSize = 8 << 10

// newCluster returns the register of the cluster with these members, as host:port.
func newCluster(endpoints []string, secure *tls.Config, user, password string) *cluster {
	return &cluster{
		endpoints: endpoints,
		clients:   make([]*clientv3.Client, len(endpoints)),
		config: clientv3.Config{
			TLS: secure, Username: user, Password: password,
			DialTimeout:          time.Second, // for the password's token
			DialKeepAliveTime:    10 * time.Second,
			DialKeepAliveTimeout: 2 * time.Second,
			Logger:               zap.NewNop(),
			MaxUnaryRetries:      1, // the store retries itself
			DialOptions: []grpc.DialOption{
				grpc.WithReadBufferSize(bufferSize), grpc.WithWriteBufferSize(bufferSize),
				grpc.WithDisableServiceConfig(),
			},
		},
	}
}

// ask makes a request to the current member. If that does not answer, the next request
// is made to another one.
func (c *cluster) ask(ctx context.Context, request func(*clientv3.Client) error) error {
	client, member, err := c.client()
	if err == nil {
		err = request(client)
	}
	if err = kindOf(err); err == nil || errors.Is(err, errRefused) || errors.Is(err, errNoLease) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == member {
		c.current = (member + 1) % len(c.endpoints)
	}
	return fmt.Errorf("%s: %w", c.endpoints[member], err)
}

// client returns the client of the current member, and the member's index.
func (c *cluster) client() (*clientv3.Client, int, error) {
	c.mu.Lock()
	member := c.current
	client, closed := c.clients[member], c.closed
	c.mu.Unlock()
	switch {
	case closed:
		return nil, member, errClosed
	case client != nil:
		return client, member, nil
	}
	config := c.config
	config.Endpoints = c.endpoints[member : member+1]
	client, err := clientv3.New(config) // waits for the token, if there is a password
	if err != nil {
		return nil, member, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.clients[member] != nil {
		defer client.Close()
		if c.closed {
			return nil, member, errClosed
		}
		return c.clients[member], member, nil
	}
	c.clients[member] = client
	return client, member, nil
}

// refusals are the errors of etcd after which a request was not and will not be carried
// out.
var refusals = []error{
	rpctypes.ErrNoSpace, rpctypes.ErrRequestTooLarge, rpctypes.ErrTooManyOps, rpctypes.ErrTooManyRequests,
	rpctypes.ErrPermissionDenied, rpctypes.ErrAuthFailed, rpctypes.ErrInvalidAuthToken, rpctypes.ErrUserEmpty,
	rpctypes.ErrAuthOldRevision, rpctypes.ErrLeaseTTLTooLarge, rpctypes.ErrDuplicateKey, rpctypes.ErrEmptyKey,
}

// kindOf wraps an error of etcd in the corresponding error of a register.
func kindOf(err error) error {
	if err == nil {
		return nil
	}
	err = rpctypes.Error(err)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("%w: %w", errNoLease, err)
	}
	for _, refusal := range refusals {
		if errors.Is(err, refusal) {
			return fmt.Errorf("%w: %w", errRefused, err)
		}
	}
	return err
}

func (c *cluster) read(ctx context.Context, key string) (e entry, err error) {
	err = c.ask(ctx, func(client *clientv3.Client) error {
		r, err := client.Get(ctx, key)
		if err == nil && len(r.Kvs) > 0 {
			e = entry{key: key, value: r.Kvs[0].Value, revision: r.Kvs[0].ModRevision}
		}
		return err
	})
	return e, err
}

func (c *cluster) readAll(ctx context.Context, keys []string) (entries []entry, err error) {
	gets := make([]clientv3.Op, len(keys))
	for i, key := range keys {
		gets[i] = clientv3.OpGet(key)
	}
	err = c.ask(ctx, func(client *clientv3.Client) error {
		r, err := client.Txn(ctx).Then(gets...).Commit()
		if err != nil {
			return err
		}
		entries = make([]entry, len(keys))
		for i, response := range r.Responses {
			entries[i].key = keys[i]
			if kvs := response.GetResponseRange().Kvs; len(kvs) > 0 {
				entries[i].value, entries[i].revision = kvs[0].Value, kvs[0].ModRevision
			}
		}
		return nil
	})
	return entries, err
}

func (c *cluster) list(ctx context.Context, from, to string, most int) (p page, err error) {
	err = c.ask(ctx, func(client *clientv3.Client) error {
		r, err := client.Get(ctx, from, clientv3.WithRange(to), clientv3.WithLimit(int64(most)))
		if err != nil {
			return err
		}
		p = page{total: r.Count, revision: r.Header.Revision}
		for _, kv := range r.Kvs {
			p.entries = append(p.entries, entry{key: string(kv.Key), value: kv.Value, revision: kv.ModRevision})
		}
		return nil
	})
	return p, err
}

func (c *cluster) commit(ctx context.Context, changes []change) (out []outcome, err error) {
	nested := make([]clientv3.Op, len(changes))
	for i, ch := range changes {
		put := clientv3.OpPut(ch.key, string(ch.value), clientv3.WithLease(clientv3.LeaseID(ch.lease)))
		if ch.value == nil {
			put = clientv3.OpDelete(ch.key)
		}
		nested[i] = clientv3.OpTxn(
			[]clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(ch.key), "=", ch.expected)},
			[]clientv3.Op{put}, []clientv3.Op{clientv3.OpGet(ch.key)})
	}
	err = c.ask(ctx, func(client *clientv3.Client) error {
		r, err := client.Txn(ctx).Then(nested...).Commit()
		if err != nil {
			return err
		}
		out = make([]outcome, len(changes))
		for i, response := range r.Responses {
			txn := response.GetResponseTxn()
			out[i] = outcome{done: txn.Succeeded, now: entry{key: changes[i].key, revision: r.Header.Revision}}
			if !txn.Succeeded {
				out[i].now.revision = 0
				if kvs := txn.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
					out[i].now.value, out[i].now.revision = kvs[0].Value, kvs[0].ModRevision
				}
			}
		}
		return nil
	})
	return out, err
}

func (c *cluster) grant(ctx context.Context, ttl time.Duration) (l lease, err error) {
	err = c.ask(ctx, func(client *clientv3.Client) error {
		r, err := client.Grant(ctx, int64(ttl/time.Second))
		if err == nil {
			l = lease(r.ID)
		}
		return err
	})
	return l, err
}

func (c *cluster) renew(ctx context.Context, l lease) error {
	return c.ask(ctx, func(client *clientv3.Client) error {
		_, err := client.KeepAliveOnce(ctx, clientv3.LeaseID(l))
		return err
	})
}

func (c *cluster) revoke(ctx context.Context, l lease) error {
	return c.ask(ctx, func(client *clientv3.Client) error {
		_, err := client.Revoke(ctx, clientv3.LeaseID(l))
		return err
	})
}

func (c *cluster) close() {
	c.mu.Lock()
	c.closed = true
	clients := c.clients
	c.mu.Unlock()
	for _, client := range clients {
		if client != nil {
			client.Close()
		}
	}
}
