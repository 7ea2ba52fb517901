package live

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/server/etcdstore/etcdtest"
	"counting/server/numbersfile"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// replicateOnEtcd starts n servers on one etcd, and the balancer.
func replicateOnEtcd(t *testing.T, n int, args ...string) *replicated {
	t.Helper()
	host := etcdtest.Start(t, 1).Endpoints(0)[0]
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{host}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	start := func(i int) *harness.Server {
		return harness.GoServer(t, append([]string{"-store", "etcd://" + host + "/live", "-store-name", fmt.Sprintf("server%d", i)}, args...)...)
	}
	r := &replicated{t: t, owns: regexp.MustCompile(`(?m)^counting_store_owned_games 1$`), start: start}
	r.lines = func() int64 {
		t.Helper()
		found, err := client.Get(t.Context(), "live/games/")
		if err != nil {
			t.Fatal(err)
		}
		var v struct{ Count int64 }
		if len(found.Kvs) > 0 {
			err = json.Unmarshal(found.Kvs[0].Value, &v)
		}
		if err != nil {
			t.Fatal(err)
		}
		return v.Count
	}
	for i := range n {
		r.servers = append(r.servers, start(i))
	}
	r.startBalancer()
	return r
}

// The owner's machine vanishes. Python clients notice that by the heartbeat, and continue
// on another server.
func TestTheMachineOfTheOwnerVanishes(t *testing.T) {
	t.Parallel()
	harness.Python.Need(t)
	rounds, most := 3, time.Minute
	if harness.Soak() { // alone, by make soak
		rounds, most = 15, 8*time.Second
	}
	r := replicateOnEtcd(t, 3, "-heartbeat", "2s/3s")
	start := func() *harness.Program { return harness.Python.Start(t, r.url, slow, noLimit) }
	defer supervise(t, []*harness.Program{start(), start()}, start)()
	took := r.endOwners(rounds, r.vanish)
	t.Logf("times until the next number of Python clients, sorted: %v", took)
	if median := took[len(took)/2]; median > most {
		t.Errorf("the median is %v", median)
	}
	if len(r.read) < 2*rounds {
		t.Errorf("numbers.txt was read %d times", len(r.read))
	}
}

// Six times in a row the server that owns the game is killed. The same clients
// continue on another server, and the killed one is started again.
func TestTheOwnerOnEtcdIsKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	const most = 10 * time.Second // about 2 s on an idle machine
	r := replicateOnEtcd(t, 3)
	start := func() *harness.Program { return harness.Go.Start(t, r.url, 20*time.Millisecond, noLimit) }
	clients := []*harness.Program{start(), start()}
	took := r.endOwners(6, (*harness.Server).Kill)
	t.Logf("times from the kill of the owner to the next number, sorted: %v", took)
	if median := took[len(took)/2]; median > most {
		t.Errorf("the median is %v", median)
	}
	r.endClients(clients)
	r.readAll()
	if len(r.read) < 12 {
		t.Errorf("numbers.txt was read %d times", len(r.read))
	}
	for _, s := range r.all() {
		text, dir := harness.Get(t, s.URL+"/numbers.txt").Body, t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, numbersfile.Name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if n := harness.CompleteLines(t, dir); n != r.lines() || !strings.HasPrefix(text, r.read[len(r.read)-1]) {
			t.Errorf("%s serves %d numbers; etcd has %d", s.URL, n, r.lines())
		}
	}
}
