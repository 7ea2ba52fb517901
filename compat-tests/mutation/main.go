// Mutation changes the code of packages in small ways, one at a time, and runs the tests
// of the package on each change. A change on which no test fails has survived: the tests do
// not look at that code. For each package it writes the score and the survivors with their
// explanations, from explained.txt, and it fails if one has none. It is run by make mutation.
//
//	go run ./compat-tests/mutation [-at-once 2] [-only REGEXP] [-results FILE] PACKAGE...
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"counting/compat-tests/results"
)

// explained has a line for each survivor that is known to change nothing that the package
// promises: its name, a tab, and the reason.
//
//go:embed explained.txt
var explained string

// minTimeout is the least time for the tests of one mutant. Those that take four times as
// long as without a change fail.
const minTimeout = 30 * time.Second

// Outcomes of a mutant.
const (
	killed   = "killed"
	survived = "survived"
	invalid  = "invalid" // it does not compile
)

func main() {
	var c config
	flag.IntVar(&c.atOnce, "at-once", 2, "how many `mutants` to test at the same time")
	only := flag.String("only", "", "test only the mutants whose name matches this `regexp`")
	flag.StringVar(&c.file, "results", "", "write each package's results into this Markdown `file`")
	flag.Parse()
	var err error
	if c.only, err = regexp.Compile(*only); err == nil {
		err = c.run(flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

type config struct {
	atOnce int
	file   string
	only   *regexp.Regexp
}

func (c config) run(packages []string) error {
	reasons := make(map[string]string)
	for line := range strings.Lines(explained) {
		if name, reason, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			reasons[name] = reason
		}
	}
	unexplained := 0
	for _, pkg := range packages {
		mutants, err := mutantsOf(pkg)
		if err != nil {
			return err
		}
		mutants = slices.DeleteFunc(mutants, func(m *mutant) bool { return !c.only.MatchString(m.name) })
		if err := c.test(pkg, mutants); err != nil {
			return err
		}
		text, missing := report(mutants, reasons)
		unexplained += missing
		pkg = strings.TrimPrefix(pkg, "./")
		fmt.Printf("%s: %s", pkg, text)
		if c.file != "" {
			if err := results.Write(c.file, "mutation "+pkg, results.Stamp()+" "+text); err != nil {
				return err
			}
		}
	}
	if unexplained > 0 {
		return fmt.Errorf("%d mutants have survived without an explanation", unexplained)
	}
	return nil
}

// report returns the score of the mutants and the list of those that survived, and how
// many of these have no explanation.
func report(mutants []*mutant, reasons map[string]string) (text string, unexplained int) {
	count := make(map[string]int)
	list := ""
	for _, m := range mutants {
		count[m.outcome]++
		if m.outcome != survived {
			continue
		}
		reason := reasons[m.name]
		if reason == "" {
			reason = "not explained"
			unexplained++
		}
		list += fmt.Sprintf("- %s: %s\n", m.name, reason)
	}
	valid := count[killed] + count[survived]
	text = fmt.Sprintf("Of %d changes, tests find %d (%.1f %%).\n", valid, count[killed], 100*float64(count[killed])/float64(max(1, valid)))
	if list != "" {
		text += "\nThe others:\n\n" + list
	}
	return text, unexplained
}

// test sets the outcomes of a package's mutants.
func (c config) test(pkg string, mutants []*mutant) error {
	dir, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	if out, err := exec.Command("go", "test", "-count=1", "-vet=off", pkg).CombinedOutput(); err != nil {
		return fmt.Errorf("the tests of %s fail without a change: %w\n%s", pkg, err, out)
	}
	timeout := max(minTimeout, 4*time.Since(began))
	slots := make(chan struct{}, c.atOnce)
	failures := make([]error, len(mutants))
	var all sync.WaitGroup
	for i, m := range mutants {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			m.outcome, failures[i] = m.test(filepath.Join(dir, fmt.Sprint(i)), pkg, timeout)
			if m.outcome == survived {
				fmt.Println("survived:", m.name)
			}
		})
	}
	all.Wait()
	return errors.Join(failures...)
}

// test runs the tests of a package on the mutant, which it writes into files whose names
// begin with prefix.
func (m *mutant) test(prefix, pkg string, timeout time.Duration) (outcome string, err error) {
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{m.file: prefix + ".go"}})
	if err == nil {
		err = os.WriteFile(prefix+".go", m.source, 0o600)
	}
	if err == nil {
		err = os.WriteFile(prefix+".json", overlay, 0o600)
	}
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "test", "-count=1", "-vet=off", "-failfast", "-timeout", timeout.String(), "-overlay", prefix+".json", pkg)
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	switch {
	case err == nil:
		return survived, nil
	case !errors.As(err, &failed):
		return "", err
	case bytes.Contains(out, []byte("[build failed]")), bytes.Contains(out, []byte("[setup failed]")):
		return invalid, nil
	}
	return killed, nil
}
