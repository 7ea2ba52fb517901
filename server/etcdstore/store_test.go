package etcdstore

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"counting/server/store"
	"counting/server/store/storetest"
)

// open returns a store of the register.
func open(tb testing.TB, r register, o Options) *Store {
	tb.Helper()
	if o.Name == "" {
		o.Name = "server"
	}
	o.Addr, o.Secret = o.Name+":5001", "secret of "+o.Name
	s, err := newStore(tb.Context(), r, o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// contract runs the tests of any store. Each has a prefix of its own.
func contract(t *testing.T, dial func() register) {
	const most = 20
	var mu sync.Mutex
	prefixes := make(map[*testing.T]string)
	storetest.Run(t, most, func(t *testing.T) store.Store {
		mu.Lock()
		defer mu.Unlock()
		if _, known := prefixes[t]; !known {
			prefixes[t] = fmt.Sprintf("test%d/", len(prefixes))
		}
		return open(t, dial(), Options{MaxGames: most, away: time.Minute, request: 30 * time.Second, prefix: prefixes[t]})
	})
}

func TestContractOnSimulatedEtcd(t *testing.T) {
	t.Parallel()
	memory := newMemory()
	contract(t, func() register { return &client{memoryRegister: memory} })
}
