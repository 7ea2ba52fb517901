package etcdstore

import (
	"fmt"
	"testing"

	"counting/server/etcdstore/etcdtest"
)

// registerOf returns a register of a cluster that asks its first member first.
func registerOf(c *etcdtest.Cluster) register { return newCluster(c.Endpoints(0), nil, "", "") }

// Keys are read together, those that are missing too.
func TestKeysOfEtcdAreReadTogether(t *testing.T) {
	t.Parallel()
	r := registerOf(etcdtest.Start(t, 1))
	defer r.close()
	var keys []string
	for i := range maxChanges {
		keys = append(keys, fmt.Sprintf("key%d", i))
		if i%2 == 0 {
			if out, err := r.commit(t.Context(), []change{{key: keys[i], value: []byte(keys[i])}}); err != nil || !out[0].done {
				t.Fatal(out, err)
			}
		}
	}
	entries, err := r.readAll(t.Context(), keys)
	if err != nil || len(entries) != len(keys) {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, e := range entries {
		one, err := r.read(t.Context(), keys[i])
		if err != nil || e.key != keys[i] || string(e.value) != string(one.value) || e.revision != one.revision || (e.revision != 0) != (i%2 == 0) {
			t.Errorf("the entry of %s is %+v among others, and %+v alone, %v", keys[i], e, one, err)
		}
	}
}

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
