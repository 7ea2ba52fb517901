package harness

import (
	"fmt"
	"strings"
	"testing"

	"counting/compat-tests/freeport"
)

var etcd = newProgram("counting/compat-tests/etcd", "-trimpath")

// An EtcdMember is a member of an etcd cluster, a process that may be started again with
// the same data.
type EtcdMember struct {
	*Program
	Client string // host:port for clients
	Peer   string // host:port for the other members
	args   []string
}

// NewEtcd returns the members of a cluster, none of which is started. proxy returns the
// host:port at which the other members reach member i, which listens at peer.
func NewEtcd(t testing.TB, n int, proxy func(i int, peer string) string) []*EtcdMember {
	t.Helper()
	var members []*EtcdMember
	var initial, addresses []string
	for i := range n {
		m := &EtcdMember{Client: "127.0.0.1:" + freeport.New(), Peer: "127.0.0.1:" + freeport.New()}
		members = append(members, m)
		addresses = append(addresses, proxy(i, m.Peer))
		initial = append(initial, fmt.Sprintf("etcd%d=http://%s", i, addresses[i]))
	}
	for i, m := range members {
		m.args = []string{"-name", fmt.Sprintf("etcd%d", i), "-data-dir", t.TempDir(), "-initial-cluster", strings.Join(initial, ","),
			"-listen-client-urls", "http://" + m.Client, "-listen-peer-urls", "http://" + m.Peer, "-initial-advertise-peer-urls", "http://" + addresses[i]}
	}
	return members
}

// Start starts the member, and does not wait until it answers.
func (m *EtcdMember) Start(t testing.TB) {
	t.Helper()
	m.Program = start(t, "etcd", etcd.command(t, m.args...))
}
