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
	if _, err := LeftOut(program, t.Name()); err != nil {
		t.Fatal(err)
	}
	t.Skipf("it needs %s, and %s=%s", program, WithoutVariable, os.Getenv(WithoutVariable))
}

// LeftOut adds a test to the list of those that were left out for want of
// something. It reports false if nobody keeps such a list, or all has to be run,
// as in CI: the test should fail then.
func LeftOut(need, test string) (bool, error) {
	path := os.Getenv(SkippedVariable)
	if path == "" || os.Getenv("CI") != "" && os.Getenv(WithoutVariable) == "" {
		return false, nil
	}
	list, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return false, err
	}
	_, err = list.WriteString(need + ": " + test + "\n")
	return err == nil, errors.Join(err, list.Close())
}
