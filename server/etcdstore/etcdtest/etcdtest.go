// Package etcdtest runs etcd within a test.
package etcdtest

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/freeport"

	"go.etcd.io/etcd/server/v3/embed"
)

// Cluster is an etcd cluster in this process, on loopback.
type Cluster struct {
	configs []*embed.Config
	running []*embed.Etcd
}

// Start starts a cluster of that many members, which end with the test.
func Start(tb testing.TB, n int) *Cluster {
	tb.Helper()
	c := &Cluster{running: make([]*embed.Etcd, n)}
	var initial []string
	for i := range n {
		config := embed.NewConfig()
		config.Name = fmt.Sprintf("etcd%d", i)
		config.Dir = tb.TempDir()
		config.LogLevel, config.LogOutputs = "fatal", []string{os.DevNull}
		config.ListenClientUrls, config.ListenPeerUrls = loopback(), loopback()
		config.AdvertiseClientUrls, config.AdvertisePeerUrls = config.ListenClientUrls, config.ListenPeerUrls
		initial = append(initial, config.Name+"="+config.AdvertisePeerUrls[0].String())
		c.configs = append(c.configs, config)
	}
	for i, config := range c.configs {
		config.InitialCluster = strings.Join(initial, ",")
		c.start(tb, i)
	}
	for i := range n {
		c.ready(tb, i)
	}
	tb.Cleanup(func() {
		for i := range n {
			c.Stop(i)
		}
	})
	return c
}

// loopback returns a free address, also for a member that is started again.
func loopback() []url.URL {
	return []url.URL{{Scheme: "http", Host: "127.0.0.1:" + freeport.New()}}
}

func (c *Cluster) start(tb testing.TB, i int) {
	tb.Helper()
	e, err := embed.StartEtcd(c.configs[i])
	if err != nil {
		tb.Fatal(err)
	}
	c.running[i] = e
	c.configs[i].ClusterState = embed.ClusterStateFlagExisting
}

func (c *Cluster) ready(tb testing.TB, i int) {
	tb.Helper()
	select {
	case <-c.running[i].Server.ReadyNotify():
	case <-time.After(time.Minute):
		tb.Fatal("etcd is not ready")
	}
}

// Restart starts a member that was stopped, with its data, and waits until it is
// ready.
func (c *Cluster) Restart(tb testing.TB, i int) {
	tb.Helper()
	c.start(tb, i)
	c.ready(tb, i)
}

// Stop ends a member, if it runs.
func (c *Cluster) Stop(i int) {
	if c.running[i] != nil {
		c.running[i].Close()
		c.running[i] = nil
	}
}

// Leader returns the leader, or -1.
func (c *Cluster) Leader() int {
	for i, e := range c.running {
		if e != nil && e.Server.Leader() == e.Server.MemberID() {
			return i
		}
	}
	return -1
}

// Endpoints returns the members' addresses for clients, that one's first.
func (c *Cluster) Endpoints(first int) (addrs []string) {
	for i := range c.configs {
		addrs = append(addrs, c.configs[(first+i)%len(c.configs)].AdvertiseClientUrls[0].Host)
	}
	return addrs
}
