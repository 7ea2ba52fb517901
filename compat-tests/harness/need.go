package harness

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// WithoutVariable is an environment variable that lists programs which tests must not
// use, separated by commas: "python,node". A test that needs one of them is skipped,
// and added to the file that SkippedVariable names. If the variable is not set, a test
// whose program is missing fails.
const (
	WithoutVariable = "WITHOUT"
	SkippedVariable = "SKIPPED"
)

// The programs besides Go that some tests need.
const (
	PythonProgram   = "python"
	NodeProgram     = "node"
	ChromiumProgram = "chromium"
	PromtoolProgram = "promtool"
)

// Need skips the test if WithoutVariable lists the program.
func Need(t testing.TB, program string) {
	t.Helper()
	if !slices.Contains(strings.Split(os.Getenv(WithoutVariable), ","), program) {
		return
	}
	if _, err := LeftOut(program, t.Name()); err != nil {
		t.Fatal(err)
	}
	t.Skipf("needs %s, and %s=%s", program, WithoutVariable, os.Getenv(WithoutVariable))
}

// LeftOut records that a test was skipped because something is missing. It returns
// false if skipped tests are not recorded, or must not be skipped, as in CI: the test
// should fail then.
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
