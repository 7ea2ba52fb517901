package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// After the start most pages of the program are mapped. When they are unmapped, only those
// that are used are mapped again.
func TestThePagesOfTheProgramAreUnmapped(t *testing.T) {
	mapped := func() (kilobytes int) {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, size, _ := strings.Cut(string(status), "RssFile:")
		if _, err := fmt.Sscan(size, &kilobytes); err != nil {
			t.Fatal(err)
		}
		return kilobytes
	}
	before := mapped()
	unmapProgram()
	if after := mapped(); after > before*3/4 {
		t.Errorf("of the program's file %d KB were mapped, and %d KB are", before, after)
	}
}
