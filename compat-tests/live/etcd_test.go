package live

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"counting/compat-tests/subject"
	"counting/server/etcdstore/etcdtest"
	"counting/server/numbersfile"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// replicateOnEtcd starts that many servers on one etcd, and the balancer.
func replicateOnEtcd(t *testing.T, n int) *replicated {
	t.Helper()
	host := etcdtest.Start(t, 1).Endpoints(0)[0]
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{host}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	start := func(i int) *subject.Server {
		return subject.GoServer(t, "-store", "etcd://"+host+"/live", "-store-name", fmt.Sprintf("server%d", i))
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
	r.balanced()
	return r
}

// Six times in a row the server that owns the game is killed, and started again when
// another one has gone on with the same clients.
func TestTheOwnerOnEtcdIsKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	const most = 10 * time.Second // some 2 s, on an idle machine
	r := replicateOnEtcd(t, 3)
	start := func() *subject.Program { return subject.Go.Start(t, r.url, 20*time.Millisecond, noLimit) }
	clients := []*subject.Program{start(), start()}
	supervised := supervise(t, clients, start)
	took := r.endOwners(6, (*subject.Server).Kill)
	supervised()
	t.Logf("from the kill of the owner to the next number, in order: %v", took)
	if took[len(took)-1] > most {
		t.Errorf("the next number came only after %v", took[len(took)-1])
	}
	for _, c := range clients {
		c.Terminate()
	}
	for _, c := range clients {
		if acked, last := c.Acked(), r.lines(); acked == 0 || acked > last {
			t.Errorf("%s had an ack for %d, and etcd has %d", c, acked, last)
		}
	}
	r.read()
	if len(r.kept) < 12 {
		t.Errorf("numbers.txt was read %d times", len(r.kept))
	}
	for _, s := range r.all() {
		response, err := http.Get(s.URL + "/numbers.txt")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		file := filepath.Join(t.TempDir(), numbersfile.Name)
		if err == nil {
			err = os.WriteFile(file, text, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		n, bad, err := numbersfile.Verify(file)
		if err != nil || bad != nil || n != r.lines() || !bytes.HasPrefix(text, r.kept[len(r.kept)-1]) {
			t.Errorf("%s gives %d numbers, %v, %v; etcd has %d", s.URL, n, bad, err, r.lines())
		}
	}
}
