package subject

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// WithoutVariable names in the environment the programs that tests are to do
// without, with commas between: "python,node". A test that needs one of them is
// skipped and added to the list in the file that SkippedVariable names. Without
// the variable a test fails if a program that it needs is missing.
const (
	WithoutVariable = "WITHOUT"
	SkippedVariable = "SKIPPED"
)

// The programs that some tests need beside Go.
const (
	PythonProgram   = "python"
	NodeProgram     = "node"
	ChromiumProgram = "chromium"
	PromtoolProgram = "promtool"
)

// Need skips the test if it is to do without the program.
func Need(t testing.TB, program string) {
	t.Helper()
	if !slices.Contains(strings.Split(os.Getenv(WithoutVariable), ","), program) {
		return
	}
	if path := os.Getenv(SkippedVariable); path != "" {
		list, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
		if err == nil {
			_, err = list.WriteString(program + ": " + t.Name() + "\n")
			err = errors.Join(err, list.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Skipf("it needs %s, and %s=%s", program, WithoutVariable, os.Getenv(WithoutVariable))
}
