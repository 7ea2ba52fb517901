package harness

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// dialTimeout is how long a balancer waits for a server to take a connection.
const dialTimeout = time.Second

// Unreachable is the address, for Balance, of a server whose machine has vanished: a
// connection to it is neither taken nor refused.
const Unreachable = ""

// Balance starts a balancer of TCP connections and returns its host:port. Each
// connection gets the next of the servers, given as host:port, that takes it within
// dialTimeout.
func Balance(t testing.TB, servers func() []string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	var next atomic.Int64
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go balance(client, servers(), int(next.Add(1)))
		}
	}()
	return listener.Addr().String()
}

func balance(client net.Conn, servers []string, next int) {
	defer client.Close()
	for i := range servers {
		address := servers[(next+i)%len(servers)]
		if address == Unreachable {
			time.Sleep(dialTimeout)
			continue
		}
		server, err := net.DialTimeout("tcp", address, dialTimeout)
		if err != nil {
			continue
		}
		defer server.Close()
		go func() {
			io.Copy(server, client)
			server.Close()
		}()
		io.Copy(client, server)
		return
	}
}
