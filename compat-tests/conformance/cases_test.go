// Package conformance runs the cases of the official test suites for Engine.IO
// and Socket.IO on the Go server. cases.txt lists them all and says of each
// that is not run as it stands, why.
package conformance

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"counting/compat-tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// What becomes of a case: see cases.txt.
const (
	tested    = "tested"
	otherwise = "otherwise"
	same      = "same"
	not       = "not"
)

// An officialCase is one of cases.txt.
type officialCase struct {
	verdict, name, remark string
}

func readCases(t *testing.T) []officialCase {
	t.Helper()
	file, err := os.Open("cases.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var cases []officialCase
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch verdict, rest, ok := strings.Cut(line, " "); {
		case line == "" || line[0] == '#':
		case !ok || verdict == "" && cases == nil:
			t.Fatalf("cases.txt:%d: neither a case nor a remark on one: %q", n, line)
		case verdict == "":
			cases[len(cases)-1].remark += strings.TrimSpace(rest)
		default:
			cases = append(cases, officialCase{verdict: verdict, name: strings.TrimSpace(rest)})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return cases
}

// runs are the tests by the names of their cases.
func runs() map[string]func(*testing.T, *harness.Server) {
	all := map[string]func(*testing.T, *harness.Server){}
	for name, run := range engineIO {
		all["Engine.IO/"+name] = run
	}
	for name, run := range socketIO {
		all["Socket.IO/"+name] = run
	}
	return all
}

// Each case of the official suites is tested, or excused with a reason.
func TestEveryOfficialCaseIsTestedOrExcused(t *testing.T) {
	t.Parallel()
	const official = 25 + 32 // so many cases do the suites have
	cases, left := readCases(t), runs()
	byName := map[string]officialCase{}
	for _, c := range cases {
		if byName[c.name].name != "" {
			t.Errorf("%s is listed twice", c.name)
		}
		byName[c.name] = c
		run := left[c.name]
		delete(left, c.name)
		switch c.verdict {
		case tested, otherwise:
			if run == nil {
				t.Errorf("%s has no test", c.name)
			}
			if c.verdict == otherwise && c.remark == "" {
				t.Errorf("%s: what is otherwise is missing", c.name)
			}
		case same:
			if other := byName[c.remark]; other.verdict != tested && other.verdict != otherwise {
				t.Errorf("%s is said to be %q, which is not tested", c.name, c.remark)
			}
		case not:
			if run != nil || c.remark == "" {
				t.Errorf("%s: want a reason and no test", c.name)
			}
		default:
			t.Errorf("%s: there is no verdict %q", c.name, c.verdict)
		}
	}
	for name := range left {
		t.Errorf("%s is tested, but no official case", name)
	}
	if len(cases) != official {
		t.Errorf("%d cases are listed, want %d", len(cases), official)
	}
}

// Every case that applies, on a Go server of its own.
func TestTheGoServer(t *testing.T) {
	t.Parallel()
	run := runs()
	for _, c := range readCases(t) {
		if c.verdict == tested || c.verdict == otherwise {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				run[c.name](t, harness.GoServer(t))
			})
			if harness.Soak() {
				t.Run(c.name+"/through_a_standby", func(t *testing.T) {
					t.Parallel()
					run[c.name](t, harness.Standby(t))
				})
			}
		}
	}
}

// The original does the same where the Go server does not do what a case wants.
func TestTheOriginalDoesOtherwiseToo(t *testing.T) {
	t.Parallel()
	run, original := runs(), harness.Flask(t)
	for _, c := range readCases(t) {
		if c.verdict == otherwise {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				run[c.name](t, original)
			})
		}
	}
}
