// Package faults tests faults of disks and networks: full disks, interfaces that go
// down. Its tests run in Linux namespaces of their own, so that they do not affect the
// machine. They need root, or a kernel that lets users create namespaces.
package faults

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"counting/compat-tests/harness"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// within is set in the environment if the test binary runs in its namespaces.
const within = "COUNTING_FAULTS_WITHIN"

func TestMain(m *testing.M) {
	if os.Getenv(within) == "" {
		os.Exit(enter())
	}
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
	harness.Main(m)
}

// enter runs the test binary again in namespaces, and returns its exit code.
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
		if out, _ := harness.LeftOut("namespaces, or root,", "all of compat-tests/faults"); out {
			return 0
		}
		fmt.Fprintf(os.Stderr, "faults: these tests need mount and network namespaces: run them as root, or let users create namespaces: %v\n", err)
		return 1
	}
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

// prepare makes the mounts of this namespace private, and brings up its loopback interface.
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

// lines returns the length of the count in numbers.txt.
func lines(t *testing.T, deployment harness.Deployment) int64 {
	t.Helper()
	return harness.Lines(t, deployment.Dir)
}

// grows waits until there are ten more lines.
func grows(t *testing.T, deployment harness.Deployment) {
	t.Helper()
	from := lines(t, deployment)
	harness.WaitFor(t, "ten more lines", func() bool { return lines(t, deployment) >= from+10 })
}

// checkAcked checks that the file has all numbers that the clients received acks for.
func checkAcked(t *testing.T, deployment harness.Deployment, clients []*harness.Program) {
	t.Helper()
	for _, c := range clients {
		acked := c.Acked()
		if n := lines(t, deployment); acked > n {
			t.Errorf("%s received the ack of %d, but there are %d lines", c, acked, n)
		}
	}
}
