package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// mostLoad is how much of a core the load may use. Above it a row may show the limit of the
// load and not of the server.
const mostLoad = 1. / 3

// table has the results, a line for each bound.
type table struct {
	candidates []candidate // the columns
	lines      [][]string
}

// values are the results of one row, by the names of the servers.
type values map[string]float64

// A bound is a target of a ratio or an absolute value.
type bound struct {
	value float64
	unit  string // what follows the number: " × Flask"
	most  bool   // whether bound is a maximum or a minimum
	bound float64
	with  string // the server that the Go server is compared with, or ""
}

// reached reports whether the value, as it is printed, reaches the bound.
func (b bound) reached() bool {
	value, err := strconv.ParseFloat(figure(b.value), 64)
	return err == nil && (b.most && value <= b.bound || !b.most && value >= b.bound)
}

// against returns the bound of the ratio of the Go server's value to another's, if both were
// measured.
func (v values) against(name, unit string, most bool, limit float64) []bound {
	if v[goServer] == 0 || v[name] == 0 {
		return nil
	}
	return []bound{{v[goServer] / v[name], " × " + unit, most, limit, name}}
}

// below returns the bound of the Go server's value divided by of, if it was measured.
func (v values) below(limit float64, unit string, of float64) []bound {
	value, ok := v[goServer]
	if !ok {
		return nil
	}
	return []bound{{value / of, unit, true, limit, ""}}
}

// row adds a row, and prints it. loads has the cores that the load used for each server, and
// may be nil. Each further bound has a line with empty first columns.
func (t *table) row(what string, format func(float64) string, v, loads values, bounds ...[]bound) {
	line := []string{what}
	for _, s := range t.candidates {
		cell := ""
		if value, ok := v[s.name]; ok {
			cell = format(value)
			if load, ok := loads[s.name]; ok {
				cell += fmt.Sprintf(" (%.2f)", load)
			}
		}
		line = append(line, cell)
	}
	all := slices.Concat(bounds...)
	if len(all) == 0 {
		line = append(line, "", "", "")
		t.add(line)
	}
	for _, b := range all {
		sign, reached := "≥", "yes"
		if b.most {
			sign = "≤"
		}
		if !b.reached() {
			reached = "**no**"
		}
		if max(loads[goServer], loads[b.with]) >= mostLoad {
			reached += ", but the load used a third of a core or more"
		}
		t.add(append(line, figure(b.value)+b.unit, fmt.Sprintf("%s %g%s", sign, b.bound, b.unit), reached))
		line = make([]string, 1+len(t.candidates))
	}
}

func (t *table) add(line []string) {
	t.lines = append(t.lines, line)
	fmt.Println("| " + strings.Join(line, " | ") + " |")
}

func (t *table) String() string {
	heads := []string{"what"}
	for _, s := range t.candidates {
		heads = append(heads, s.head)
	}
	heads = append(heads, "result", "target", "reached")
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(heads, " | "), strings.Repeat(" --- |", len(heads)))
	for _, line := range t.lines {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(line, " | "))
	}
	return b.String()
}

// figure formats a value with three digits.
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

// series has the results of the repetitions.
type series map[string][]float64

func (s series) add(name string, v float64) { s[name] = append(s[name], v) }

func (s series) median() values {
	v := make(values)
	for name, all := range s {
		v[name] = percentile(all, 50)
	}
	return v
}

// inTurn returns what is measured in a repetition: in each of them another server is the
// first, which was seen to take up to a tenth longer than the others.
func inTurn[T any](all []T, repetition int) []T {
	first := repetition % max(len(all), 1)
	return slices.Concat(all[first:], all[:first])
}

// percentile returns the p-th percentile.
func percentile(all []float64, p int) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)*p/100]
}
