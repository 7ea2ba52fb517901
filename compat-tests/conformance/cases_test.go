// Package conformance runs the official test suites for Engine.IO and Socket.IO against the
// Go server. cases.txt lists all cases, with the reason for each that is not run
// unchanged.
package conformance

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"counting/compat-tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// The verdicts of cases.txt.
const (
	tested    = "tested"
	otherwise = "otherwise"
	same      = "same"
	not       = "not"
)

// An officialCase is a case in cases.txt.
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
			t.Fatalf("cases.txt:%d: neither a case nor a remark: %q", n, line)
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

// runs returns the tests by the names of their cases.
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

// Each case of the official suites is tested, or has a reason why not.
func TestEveryOfficialCaseIsTestedOrExcused(t *testing.T) {
	t.Parallel()
	const official = 25 + 32 // cases in the suites
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
				t.Errorf("%s: the difference is missing", c.name)
			}
		case same:
			if other := byName[c.remark]; other.verdict != tested && other.verdict != otherwise {
				t.Errorf("%s refers to %q, which is not tested", c.name, c.remark)
			}
		case not:
			if run != nil || c.remark == "" {
				t.Errorf("%s: want a reason and no test", c.name)
			}
		default:
			t.Errorf("%s: unknown verdict %q", c.name, c.verdict)
		}
	}
	for name := range left {
		t.Errorf("%s is tested, but not an official case", name)
	}
	if len(cases) != official {
		t.Errorf("%d cases are listed, want %d", len(cases), official)
	}
}

// All cases that apply, each on its own Go server.
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

// The original does the same as the Go server where that does not conform to a case.
func TestTheOriginalDoesNotConformEither(t *testing.T) {
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
