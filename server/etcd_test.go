package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"counting/server/etcdstore/etcdtest"

	clientv3 "go.etcd.io/etcd/client/v3"
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

// Where other servers may continue a game, a client's connection is closed after its
// handshake over polling, also if that is forwarded.
func TestTheConnectionOfAHandshakeIsNotKept(t *testing.T) {
	t.Parallel()
	store := startEtcd(t)
	owner, other := startServer(t, "-store", store, "-store-name", "one"), startServer(t, "-store", store, "-store-name", "two")
	join(t, owner, assigned1)
	for name, s := range map[string]*testServer{"owner": owner, "other": other, "alone": startServer(t)} {
		response, err := http.Get(s.url + "/socket.io/?EIO=4&transport=polling")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if want := name != "alone"; response.StatusCode != http.StatusOK || response.Close != want {
			t.Errorf("%s: answered %d, closed %v, want %v", name, response.StatusCode, response.Close, want)
		}
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

// A server that has lost a game in which nothing was written, as one that was paused,
// serves nobody from what it has left, and cuts its clients off.
func TestAnOwnerThatLostAnIdleGame(t *testing.T) {
	t.Parallel()
	url := startEtcd(t)
	s := startServer(t, "-store", url, "-store-name", "one")
	host, prefix, _ := strings.Cut(strings.TrimPrefix(url, "etcd://"), "/")
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{host}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for game, readers := range map[string]bool{"read": true, "left-alone": false} {
		a := join(t, s.inGame("game="+game), assigned1, joined)
		// Another server, which has ended since, took the game and counted to two.
		value := `{"count":2,"epoch":2,"owner":"two#1","at":1}`
		if _, err := client.Put(t.Context(), prefix+"/games/"+game, value); err != nil {
			t.Fatal(err)
		}
		if readers {
			if status, text, _ := request(t, http.MethodGet, s.url+"/numbers.txt?game="+game, nil); status != http.StatusOK || text != "one\ntwo\n" {
				t.Errorf("numbers.txt is answered %d, %q", status, text)
			}
			_, text, _ := request(t, http.MethodGet, s.url+"/state?game="+game, nil)
			if !strings.Contains(text, `"count":2`) {
				t.Errorf("the state is %s", text)
			}
		}
		for {
			packet, err := a.next()
			if err != nil {
				if isTimeout := new(net.Error); errors.As(err, isTimeout) && (*isTimeout).Timeout() {
					t.Errorf("the client is not cut off: %v", err)
				}
				break
			}
			if packet == "2" {
				t.Error("the client is only found by its heartbeat")
			}
		}
	}
}
