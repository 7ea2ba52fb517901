// Package faults tries what needs a machine of its own: full disks, cables that
// are pulled. Its tests run in namespaces that end with them, so that nothing of
// the machine is touched. That needs root, or a kernel that lets users have
// namespaces.
package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"counting/compat-tests/subject"
	"counting/server/numbersfile"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// within says that the test binary runs within its namespaces.
const within = "COUNTING_FAULTS_WITHIN"

func TestMain(m *testing.M) {
	if os.Getenv(within) == "" {
		os.Exit(enter())
	}
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
	subject.Main(m)
}

// enter runs the test binary again, in namespaces.
func enter() int {
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), within+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		if out, _ := subject.LeftOut("namespaces, or root,", "all of compat-tests/faults"); out {
			return 0
		}
		fmt.Fprintf(os.Stderr, "faults: these tests need namespaces for mounts and networks: run them as root, or let users have namespaces: %v\n", err)
		return 1
	}
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

// prepare makes the mounts here private, and brings the loopback up.
func prepare() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lines holds the place's numbers.txt to the one rule and returns how far it
// goes. There may be no file.
func lines(t *testing.T, place subject.Place) int64 {
	t.Helper()
	n, bad, err := numbersfile.Verify(filepath.Join(place.Dir, numbersfile.Name))
	if bad != nil || err != nil && !os.IsNotExist(err) {
		t.Fatalf("numbers.txt: %v, %v", bad, err)
	}
	return n
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	const patience = time.Minute
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %s", patience, what)
		}
	}
}

// grows waits for ten more lines.
func grows(t *testing.T, place subject.Place) {
	t.Helper()
	from := lines(t, place)
	waitFor(t, "ten more lines", func() bool { return lines(t, place) >= from+10 })
}

// allAckedIsThere holds the file to having all that clients had acks for.
func allAckedIsThere(t *testing.T, place subject.Place, clients []*subject.Program) {
	t.Helper()
	for _, c := range clients {
		acked := c.Acked()
		if n := lines(t, place); acked > n {
			t.Errorf("%s had an ack for %d, and there are %d lines", c, acked, n)
		}
	}
}
