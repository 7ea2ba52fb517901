package chaos

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// peers is the network between the members of an etcd cluster. There is a proxy in front
// of each member, which reads the client member of a connection from its first request.
type peers struct {
	mu      sync.Mutex
	ids     []string // of the members, as in their requests; set when they are known
	proxies []*peer
}

// peer is the proxy in front of a member.
type peer struct {
	network *peers
	to      string
	conns   map[*conn]bool
	cut     map[string]int // how many partitions there are from a member, by its id
}

// conn is a connection of the member with that id, or of an unknown one.
type conn struct {
	net.Conn
	id        string
	swallowed bool // some data was dropped: it can no longer be used
}

// add starts the proxy of the next member, and returns its host:port.
func (n *peers) add(t testing.TB, to string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{network: n, to: to, conns: make(map[*conn]bool), cut: make(map[string]int)}
	n.proxies = append(n.proxies, p)
	t.Cleanup(func() {
		listener.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		for c := range p.conns {
			c.Close()
		}
	})
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return listener.Addr().String()
}

func (p *peer) serve(from net.Conn) {
	defer from.Close()
	var head bytes.Buffer
	id, in := "", bufio.NewReader(from)
	for !bytes.HasSuffix(head.Bytes(), []byte("\r\n\r\n")) {
		line, err := in.ReadString('\n')
		head.WriteString(line)
		if err != nil || head.Len() > 16<<10 {
			return
		}
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "X-Server-From") {
			id = strings.TrimSpace(value)
		}
	}
	to, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer to.Close()
	c := &conn{Conn: from, id: id}
	p.network.mu.Lock()
	p.conns[c] = true
	p.network.mu.Unlock()
	defer func() {
		p.network.mu.Lock()
		defer p.network.mu.Unlock()
		delete(p.conns, c)
	}()
	go func() {
		p.copy(c, to, io.MultiReader(&head, in))
		to.Close()
	}()
	p.copy(c, from, to)
}

// copy copies one direction of a connection, or drops the data.
func (p *peer) copy(c *conn, to io.Writer, from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.network.mu.Lock()
		c.swallowed = c.swallowed || p.cut[c.id] > 0 || c.id == "" && len(p.cut) > 0
		swallowed := c.swallowed
		p.network.mu.Unlock()
		if swallowed {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// part drops all data between a and b until the function that it returns is called,
// which closes the connections.
func (n *peers) part(a, b int) (repair func()) {
	change := func(by int) {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, way := range [][2]int{{a, b}, {b, a}} {
			p, id := n.proxies[way[0]], n.ids[way[1]]
			if p.cut[id] += by; p.cut[id] > 0 {
				continue
			}
			delete(p.cut, id)
			for c := range p.conns {
				if c.swallowed && (c.id == id || c.id == "") {
					c.Close()
				}
			}
		}
	}
	change(1)
	return func() { change(-1) }
}
