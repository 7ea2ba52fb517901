package etcdstore

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// members are those of an etcd cluster in this process, on loopback.
type members struct {
	configs []*embed.Config
	running []*embed.Etcd
}

// startEtcd starts a cluster of that many members.
func startEtcd(tb testing.TB, n int) *members {
	tb.Helper()
	m := &members{running: make([]*embed.Etcd, n)}
	var initial []string
	for i := range n {
		c := embed.NewConfig()
		c.Name = fmt.Sprintf("etcd%d", i)
		c.Dir = tb.TempDir()
		c.LogLevel = "fatal"
		c.LogOutputs = []string{"/dev/null"}
		c.ListenClientUrls, c.AdvertiseClientUrls = loopback(tb)
		c.ListenPeerUrls, c.AdvertisePeerUrls = loopback(tb)
		initial = append(initial, c.Name+"="+c.AdvertisePeerUrls[0].String())
		m.configs = append(m.configs, c)
	}
	for i, c := range m.configs {
		c.InitialCluster = strings.Join(initial, ",")
		m.start(tb, i)
	}
	for i := range n {
		m.ready(tb, i)
	}
	tb.Cleanup(func() {
		for i := range n {
			m.stop(i)
		}
	})
	return m
}

func loopback(tb testing.TB) (listen, advertise []url.URL) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	u := []url.URL{{Scheme: "http", Host: l.Addr().String()}}
	return u, u
}

// start starts a member, which may have run before.
func (m *members) start(tb testing.TB, i int) {
	tb.Helper()
	e, err := embed.StartEtcd(m.configs[i])
	if err != nil {
		tb.Fatal(err)
	}
	m.running[i] = e
	m.configs[i].ClusterState = embed.ClusterStateFlagExisting
}

func (m *members) ready(tb testing.TB, i int) {
	tb.Helper()
	select {
	case <-m.running[i].Server.ReadyNotify():
	case <-time.After(time.Minute):
		tb.Fatal("etcd is not ready")
	}
}

// stop ends a member.
func (m *members) stop(i int) {
	if m.running[i] != nil {
		m.running[i].Close()
		m.running[i] = nil
	}
}

// leader returns the leader, or -1.
func (m *members) leader() int {
	for i, e := range m.running {
		if e != nil && e.Server.Leader() == e.Server.MemberID() {
			return i
		}
	}
	return -1
}

// endpoints returns where the members can be reached, that one first.
func (m *members) endpoints(first int) (addrs []string) {
	for i := range m.configs {
		addrs = append(addrs, m.configs[(first+i)%len(m.configs)].AdvertiseClientUrls[0].Host)
	}
	return addrs
}

// register returns a register of the cluster that asks that member first.
func (m *members) register(first int) register { return newCluster(m.endpoints(first), nil, "", "") }

func TestContractOnEtcd(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d_members", n), func(t *testing.T) {
			t.Parallel()
			m := startEtcd(t, n)
			contract(t, func() register { return m.register(0) })
		})
	}
}
