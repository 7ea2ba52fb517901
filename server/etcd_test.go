package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"counting/server/etcdstore/etcdtest"
)

// startEtcd starts an etcd of one member and returns the URL of a store in it.
func startEtcd(t testing.TB) string {
	t.Helper()
	return "etcd://" + etcdtest.Start(t, 1).Endpoints(0)[0] + "/test"
}

// Clients of three servers play one game; when its owner stops, the other servers
// continue. Every server returns the same numbers.txt.
func TestThreeServersOnEtcd(t *testing.T) {
	t.Parallel()
	store := startEtcd(t)
	var servers []*testServer
	for _, name := range []string{"one", "two", "three"} {
		servers = append(servers, startServer(t, "-store", store, "-store-name", name))
	}
	for _, query := range []string{"", "game=blue"} {
		a, b := join(t, servers[0].inGame(query), assigned1, joined), join(t, servers[1].inGame(query), assigned2, started, joined)
		a.expect(started)
		a.send(number("1", "client1", 1))
		a.expect("431[]")
		b.send(number("1", "client2", 2))
		b.expect("431[]")
		for _, s := range servers {
			if status, text, _ := request(t, http.MethodGet, s.url+"/numbers.txt?"+query, nil); status != http.StatusOK || text != "one\ntwo\n" {
				t.Errorf("numbers.txt with %q is answered %d, %q", query, status, text)
			}
		}
	}
	if !servers[0].metric(t, "counting_store_owned_games 2") || !servers[0].metric(t, "counting_store_appends_total 4") || !servers[1].metric(t, "counting_store_owned_games 0") {
		t.Error("the metrics do not show who owns the games")
	}
	if err := servers[0].stop(); err != nil {
		t.Error(err)
	}
	next := assigned1
	next = strings.Replace(next, `"last_number":1`, `"last_number":3`, 1)
	c := join(t, servers[2].inGame("game=blue"), next, joined)
	c.send(number("1", "client1", 3))
	c.expect("431[]")
	if _, text, _ := request(t, http.MethodGet, servers[1].url+"/numbers.txt?game=blue", nil); text != "one\ntwo\nthree\n" {
		t.Errorf("numbers.txt is %q", text)
	}
	if _, text, _ := request(t, http.MethodGet, servers[1].url+"/games", nil); !strings.Contains(text, `"game":"blue"`) {
		t.Errorf("the games are %s", text)
	}
}

// A count is imported from a file, continues in etcd, and is downloaded.
func TestImportIntoEtcd(t *testing.T) {
	t.Parallel()
	store := startEtcd(t)
	file := filepath.Join(t.TempDir(), "numbers.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	imported := func(args ...string) error {
		return run(context.Background(), append([]string{"-store", store, "-import", file}, args...), noEnv, io.Discard)
	}
	for text, why := range map[string]string{"one\nthree\n": "not an unbroken count", "one\ntwo": "not an unbroken count", "": "is empty"} {
		write(text)
		if err := imported(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %q", text, err, why)
		}
	}
	write("one\ntwo\nthree\n")
	for _, game := range []string{"", "blue"} {
		var args []string
		if game != "" {
			args = []string{"-game", game}
		}
		if err := imported(args...); err != nil {
			t.Fatal(err)
		}
		if err := imported(args...); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("imported again: %v", err)
		}
	}
	s := startServer(t, "-store", store, "-store-name", "one")
	for _, query := range []string{"", "?game=blue"} {
		if _, text, _ := request(t, http.MethodGet, s.url+"/numbers.txt"+query, nil); text != "one\ntwo\nthree\n" {
			t.Errorf("numbers.txt%s is %q", query, text)
		}
	}
}
