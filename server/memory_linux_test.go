package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"counting/compat-tests/lockedbuffer"
)

// When the pages of the program are unmapped, only those that are used are mapped again.
func TestThePagesOfTheProgramAreUnmapped(t *testing.T) {
	mapped := func() (kilobytes int) {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, size, _ := strings.Cut(string(status), "\nRssFile:")
		if _, err := fmt.Sscan(size, &kilobytes); err != nil {
			t.Fatal(err)
		}
		return kilobytes
	}
	before := mapped()
	unmapProgram()
	if after := mapped(); after == 0 || after > before*3/4 {
		t.Errorf("of the program %d KB were mapped, and %d KB are", before, after)
	}
}

// A program whose file its loader has changed in memory, as it does with one that can be
// loaded at any address, continues after its pages were unmapped.
func TestARelocatedProgramContinues(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "server")
	if out, err := exec.Command("go", "build", "-buildmode=pie", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	server := exec.Command(program, "-addr", "127.0.0.1:0", "-data", t.TempDir())
	var out lockedbuffer.Buffer
	server.Stdout, server.Stderr = &out, &out
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	select {
	case err := <-ended:
		t.Fatalf("it ends: %v\n%s", err, out.String())
	case <-time.After(2 * startTime): // it has no other sign
	}
	server.Process.Signal(syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v\n%s", err, out.String())
	}
}
