package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// table is what was measured, a line for each bound.
type table struct{ lines [][]string }

var heads = []string{"what", "Go", "Flask, eventlet", "Flask, threading", "bare library", "it is", "must be", "reached"}

// values are what one row has measured, by the names of the servers.
type values map[string]float64

// A bound is what a ratio, or an absolute value, has to keep.
type bound struct {
	value float64
	unit  string // what follows the number: "× Flask"
	most  bool   // whether bound is the most or the least
	bound float64
}

func (b bound) reached() bool { return b.most && b.value <= b.bound || !b.most && b.value >= b.bound }

// against is the bound of the ratio of the Go server's value to another's, if
// both were measured.
func (v values) against(name, unit string, most bool, limit float64) []bound {
	if v[goServer] == 0 || v[name] == 0 {
		return nil
	}
	return []bound{{v[goServer] / v[name], " × " + unit, most, limit}}
}

// row adds a row, and prints it at once. Each further bound has a line that
// repeats nothing.
func (t *table) row(what string, format func(float64) string, v values, bounds ...[]bound) {
	line := []string{what}
	for _, name := range []string{goServer, flask, threading, bare} {
		cell := ""
		if value, ok := v[name]; ok {
			cell = format(value)
		}
		line = append(line, cell)
	}
	all := slices.Concat(bounds...)
	if len(all) == 0 {
		all = append(all, bound{})
	}
	for _, b := range all {
		switch {
		case b == bound{}:
			line = append(line, "", "", "")
		default:
			sign, reached := "≥", "yes"
			if b.most {
				sign = "≤"
			}
			if !b.reached() {
				reached = "**no**"
			}
			line = append(line, figure(b.value)+b.unit, fmt.Sprintf("%s %g%s", sign, b.bound, b.unit), reached)
		}
		t.lines = append(t.lines, line)
		fmt.Println("| " + strings.Join(line, " | ") + " |")
		line = make([]string, 5)
	}
}

func (t *table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(heads, " | "), strings.Repeat(" --- |", len(heads)))
	for _, line := range t.lines {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(line, " | "))
	}
	return b.String()
}

// figure prints three digits.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func rate(v float64) string         { return fmt.Sprintf("%.0f", v) }
func milliseconds(v float64) string { return figure(v*1000) + " ms" }
func seconds(v float64) string      { return figure(v) + " s" }
func megabytes(v float64) string    { return figure(v/1e6) + " MB" }
func kilobytes(v float64) string    { return figure(v/1e3) + " KB" }

// series collects what the repetitions measure.
type series map[string][]float64

func (s series) add(name string, v float64) { s[name] = append(s[name], v) }

func (s series) median() values {
	v := make(values)
	for name, all := range s {
		v[name] = percentile(all, 50)
	}
	return v
}

// percentile returns the value that p percent do not exceed.
func percentile(all []float64, p int) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)*p/100]
}

func inSeconds(all []time.Duration) []float64 {
	s := make([]float64, len(all))
	for i, d := range all {
		s[i] = d.Seconds()
	}
	return s
}
