package etcdstore

import (
	"fmt"
	"testing"

	"counting/server/etcdstore/etcdtest"
)

// registerOf returns a register of a cluster that asks its first member first.
func registerOf(c *etcdtest.Cluster) register { return newCluster(c.Endpoints(0), nil, "", "") }

func TestContractOnEtcd(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d_members", n), func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, n)
			contract(t, func() register { return registerOf(c) })
		})
	}
}
