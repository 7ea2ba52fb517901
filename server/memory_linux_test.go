package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// When the pages of the program are unmapped, only those that are used are mapped again.
func TestThePagesOfTheProgramAreUnmapped(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	mapped := func() (kilobytes int) {
		smaps, err := os.ReadFile("/proc/self/smaps")
		if err != nil {
			t.Fatal(err)
		}
		for _, mapping := range strings.SplitAfter(string(smaps), "\nVmFlags") {
			if !strings.Contains(mapping, program) || strings.Contains(mapping, " rw-p ") {
				continue
			}
			_, size, _ := strings.Cut(mapping, "\nRss:")
			var rss int
			if _, err := fmt.Sscan(size, &rss); err != nil {
				t.Fatalf("%s: %v", mapping, err)
			}
			kilobytes += rss
		}
		return kilobytes
	}
	before := mapped()
	unmapProgram()
	if after := mapped(); after > before*3/4 {
		t.Errorf("of the program %d KB were mapped, and %d KB are", before, after)
	} else {
		t.Logf("%d KB were mapped, and %d KB are", before, after)
	}
}
