package faults

import (
	"math"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/compat-tests/results"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// A host is a network namespace, connected to this one by a pair of interfaces.
type host struct {
	t      *testing.T
	ns     netns.NsHandle
	inside *netlink.Handle
	link   netlink.Link // its interface
}

// The addresses of the interfaces.
const (
	here  = "10.77.0.1"
	there = "10.77.0.2"
)

func newHost(t *testing.T) *host {
	t.Helper()
	// A process keeps the namespace until there is a handle to it.
	holder := exec.Command("sleep", "60")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	must(t, holder.Start())
	defer holder.Wait()
	defer holder.Process.Kill()
	ns, err := netns.GetFromPid(holder.Process.Pid)
	must(t, err)
	inside, err := netlink.NewHandleAt(ns)
	must(t, err)
	t.Cleanup(func() { inside.Close(); ns.Close() })

	attrs := netlink.NewLinkAttrs()
	attrs.Name = "here"
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "there", PeerNamespace: netlink.NsFd(ns)}))
	local, err := netlink.LinkByName("here")
	must(t, err)
	remote, err := inside.LinkByName("there")
	must(t, err)
	address := func(text string) *netlink.Addr {
		a, err := netlink.ParseAddr(text + "/24")
		must(t, err)
		return a
	}
	must(t, netlink.AddrAdd(local, address(here)))
	must(t, netlink.LinkSetUp(local))
	must(t, inside.AddrAdd(remote, address(there)))
	must(t, inside.LinkSetUp(remote))
	return &host{t, ns, inside, remote}
}

// run runs f on a thread in the namespace, so that programs which f starts run in it.
func (h *host) run(f func()) {
	h.t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and does not unlock it, so that the thread ends with the goroutine
		err := netns.Set(h.ns)
		if err == nil {
			f()
		}
		done <- err
	}()
	must(h.t, <-done)
}

// disconnect takes the interface down: packets are lost without an error to the peer.
func (h *host) disconnect() { must(h.t, h.inside.LinkSetDown(h.link)) }

// The seat of a client whose machine has disappeared is vacated before the heartbeat
// of 45 s times out.
func TestAClientThatVanishesLeavesItsSeat(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	deployment := harness.NewDeployment(t)
	server := deployment.GoServer(t, "-addr", "0.0.0.0:"+deployment.Port)
	start := func(address string) *harness.Program {
		return harness.Go.Start(t, "http://"+address+":"+deployment.Port, 20*time.Millisecond, math.MaxInt32)
	}
	var lost *harness.Program
	h.run(func() { lost = start(here) })
	lost.Prints(t, "Assigned as client1")
	stays := start("127.0.0.1")
	stays.Prints(t, "Assigned as client2")
	grows(t, deployment)
	waits := start("127.0.0.1")
	server.Prints(t, "More than 2 clients")

	h.disconnect()
	began := time.Now()
	before := lines(t, deployment)
	waits.Prints(t, "Assigned as client1")
	took := time.Since(began)
	if took > 30*time.Second { // about 10 s are expected; the heartbeat takes 45 s
		t.Errorf("the seat was vacated after %v", took)
	}
	grows(t, deployment)
	checkAcked(t, deployment, []*harness.Program{lost, stays, waits})
	table := results.New(t, "half-open", "fault", "lines before", "time until the waiting client has the seat", "lines then")
	table.Row("the network interface of client1's machine goes down, over WebSocket", before, took.Round(100*time.Millisecond), lines(t, deployment))
}
