package faults

import (
	"math"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"counting/compat-tests/results"
	"counting/compat-tests/subject"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// A host is a network namespace with a cable to this one.
type host struct {
	t      *testing.T
	ns     netns.NsHandle
	inside *netlink.Handle
	cable  netlink.Link // its end of the cable
}

// The ends of the cable.
const (
	here  = "10.77.0.1"
	there = "10.77.0.2"
)

func newHost(t *testing.T) *host {
	t.Helper()
	// A process keeps the namespace open until there is a handle.
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

// run runs f on a thread that is on the host, so that programs which it starts
// are.
func (h *host) run(f func()) {
	h.t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this
		err := netns.Set(h.ns)
		if err == nil {
			f()
		}
		done <- err
	}()
	must(h.t, <-done)
}

// vanish pulls the cable: not a packet comes through, and nobody is told.
func (h *host) vanish() { must(h.t, h.inside.LinkSetDown(h.cable)) }

// A client whose machine is lost kept its seat for the 45 s of the heartbeat.
func TestAClientThatVanishesLeavesItsSeat(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	place := subject.NewPlace(t)
	server := place.GoServer(t, "-addr", "0.0.0.0:"+place.Port)
	start := func(address string) *subject.Program {
		return subject.Go.Start(t, "http://"+address+":"+place.Port, 20*time.Millisecond, math.MaxInt32)
	}
	prints := func(p *subject.Program, text string) {
		t.Helper()
		waitFor(t, p.String()+" to print "+text, func() bool { return strings.Contains(p.Output(), text) })
	}
	var lost *subject.Program
	h.run(func() { lost = start(here) })
	prints(lost, "Assigned as client1")
	stays := start("127.0.0.1")
	prints(stays, "Assigned as client2")
	grows(t, place)
	waits := start("127.0.0.1")
	waitFor(t, "the third client", func() bool { return strings.Contains(server.Output(), "More than 2 clients") })

	h.vanish()
	began := time.Now()
	before := lines(t, place)
	prints(waits, "Assigned as client1")
	took := time.Since(began)
	if took > 15*time.Second { // it is to be 10, and would be 45
		t.Errorf("the seat was free after %v", took)
	}
	grows(t, place)
	allAckedIsThere(t, place, []*subject.Program{lost, stays, waits})
	table := results.New(t, "half-open", "fault", "lines before", "seat free and taken by the client that waited after", "lines some moments later")
	table.Row("the cable of client1's machine is pulled, over WebSocket", before, took.Round(100*time.Millisecond), lines(t, place))
}
