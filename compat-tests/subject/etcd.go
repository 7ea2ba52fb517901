package subject

import (
	"fmt"
	"strings"
	"testing"
)

var etcd = newProgram("counting/compat-tests/etcd", "-trimpath")

// An EtcdMember is where one process of a member of an etcd cluster runs after the
// other, with the same data.
type EtcdMember struct {
	*Program
	Client string // host:port for clients
	Peer   string // host:port for the other members
	args   []string
}

// NewEtcd returns the members of a cluster, none of which runs. The others reach the
// one at peer by way of the address that the function returns for it.
func NewEtcd(t testing.TB, n int, way func(i int, peer string) string) []*EtcdMember {
	t.Helper()
	var members []*EtcdMember
	var initial, ways []string
	for i := range n {
		m := &EtcdMember{Client: "127.0.0.1:" + freePort(), Peer: "127.0.0.1:" + freePort()}
		members = append(members, m)
		ways = append(ways, way(i, m.Peer))
		initial = append(initial, fmt.Sprintf("etcd%d=http://%s", i, ways[i]))
	}
	for i, m := range members {
		m.args = []string{"-name", fmt.Sprintf("etcd%d", i), "-data-dir", t.TempDir(), "-initial-cluster", strings.Join(initial, ","),
			"-listen-client-urls", "http://" + m.Client, "-listen-peer-urls", "http://" + m.Peer, "-initial-advertise-peer-urls", "http://" + ways[i]}
	}
	return members
}

// Start starts the member, and does not wait until it answers.
func (m *EtcdMember) Start(t testing.TB) {
	t.Helper()
	m.Program = start(t, "etcd", etcd.command(t, m.args...))
}
