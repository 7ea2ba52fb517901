package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"counting/compat-tests/siotape/replay"
)

// A report collects the results of a replay and prints them.
type report struct {
	stdout  io.Writer
	json    bool
	all     bool
	results []*replay.Result
	errors  []error
	names   []string // of what failed
}

func (r *report) failed(name string, err error) {
	r.errors, r.names = append(r.errors, err), append(r.names, name)
}

func (r *report) add(res *replay.Result) {
	if !r.all {
		res.Differences = replay.Grouped(res.Differences)
	}
	r.results = append(r.results, res)
	if !r.json {
		fmt.Fprint(r.stdout, text(res))
	}
}

// text returns a result as text for people.
func text(res *replay.Result) string {
	var b strings.Builder
	if res.Same() {
		fmt.Fprintf(&b, "%s: same%s\n", res.Name, allowed(res))
	} else {
		fmt.Fprintf(&b, "%s: different%s\n", res.Name, allowed(res))
	}
	for _, d := range res.Differences {
		fmt.Fprintf(&b, "\n%s\n", d)
	}
	if res.Stopped {
		b.WriteString("\nstopped here; there may be more differences\n")
	}
	for _, n := range res.NotCompared {
		fmt.Fprintf(&b, "  not compared: %s\n", n)
	}
	return b.String()
}

// allowed describes the differences that the rules allowed, and how much slower the
// server was if that is noticeable.
func allowed(res *replay.Result) string {
	var parts []string
	if res.Masked > 0 {
		parts = append(parts, fmt.Sprintf("%d masked", res.Masked))
	}
	if res.Reordered > 0 {
		parts = append(parts, fmt.Sprintf("%d in another order", res.Reordered))
	}
	const noticeable = 250 * time.Millisecond
	if res.Slowest >= noticeable {
		parts = append(parts, fmt.Sprintf("up to %v later", res.Slowest.Round(10*time.Millisecond)))
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}

// end prints the JSON report, if asked for, and returns the exit code.
func (r *report) end(stderr io.Writer) (int, error) {
	if r.json {
		enc := json.NewEncoder(r.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"results": nonNil(r.results), "errors": texts(r.errors)}); err != nil {
			return exitFailed, err
		}
	}
	code := exitSame
	for _, res := range r.results {
		if !res.Same() {
			code = exitDifferent
		} else if len(res.NotCompared) > 0 && code == exitSame {
			code = exitInPart
		}
	}
	return code, errors.Join(r.errors...)
}

func nonNil(results []*replay.Result) []*replay.Result {
	for _, res := range results {
		if res.Differences == nil {
			res.Differences = []replay.Difference{}
		}
	}
	if results == nil {
		return []*replay.Result{}
	}
	return results
}

func texts(all []error) []string {
	lines := []string{}
	for _, err := range all {
		lines = append(lines, err.Error())
	}
	return lines
}

// The part of JUnit's XML that CI servers read.
type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Failure *junitProblem `xml:"failure,omitempty"`
	Error   *junitProblem `xml:"error,omitempty"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitProblem struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func (r *report) writeJUnit(name string) error {
	suite := junitSuite{Name: "siotape", Tests: len(r.results) + len(r.errors), Errors: len(r.errors)}
	for _, res := range r.results {
		c := junitCase{Name: res.Name, Class: "siotape", Out: text(res)}
		if !res.Same() {
			suite.Failures++
			c.Failure = &junitProblem{fmt.Sprintf("%d differences", len(res.Differences)), text(res)}
		}
		suite.Cases = append(suite.Cases, c)
	}
	for i, err := range r.errors {
		suite.Cases = append(suite.Cases, junitCase{Name: r.names[i], Class: "siotape", Error: &junitProblem{err.Error(), err.Error()}})
	}
	f, err := createFile(name)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, xml.Header)
	enc := xml.NewEncoder(f)
	enc.Indent("", "  ")
	return errors.Join(err, enc.Encode(suite), f.Close())
}
