package main

import (
	"slices"
	"testing"
)

func TestARowSaysWhatIsReached(t *testing.T) {
	t.Parallel()
	const tooMuch = ", but the load used a third of a core or more"
	for name, c := range map[string]struct {
		loads  values
		bounds func(values) []bound
		want   []string // of the last three columns
	}{
		"a ratio that is reached":       {values{goServer: 0.1, node: 0.2}, func(v values) []bound { return v.against(node, "Node", false, 2.5) }, []string{"3.00 × Node", "≥ 2.5 × Node", "yes"}},
		"a ratio that is not":           {nil, func(v values) []bound { return v.against(node, "Node", true, 2.5) }, []string{"3.00 × Node", "≤ 2.5 × Node", "**no**"}},
		"too much load at the server":   {values{goServer: 0.34, node: 0.2}, func(v values) []bound { return v.against(node, "Node", false, 2.5) }, []string{"3.00 × Node", "≥ 2.5 × Node", "yes" + tooMuch}},
		"too much load at the other":    {values{goServer: 0.1, node: 0.4}, func(v values) []bound { return v.against(node, "Node", false, 3.5) }, []string{"3.00 × Node", "≥ 3.5 × Node", "**no**" + tooMuch}},
		"too much load elsewhere":       {values{goServer: 0.1, bare: 0.4}, func(v values) []bound { return v.against(node, "Node", false, 2.5) }, []string{"3.00 × Node", "≥ 2.5 × Node", "yes"}},
		"a value":                       {nil, func(v values) []bound { return v.below(40, " KB", 1e3) }, []string{"30.0 KB", "≤ 40 KB", "yes"}},
		"a server that is not measured": {nil, func(v values) []bound { return v.against(flask, "Flask", false, 2) }, []string{"", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := values{goServer: 30_000, node: 10_000}
			table := table{candidates: candidates("", "")}
			table.row("what", rate, v, c.loads, c.bounds(v))
			line := table.lines[0]
			if got := line[len(line)-3:]; len(table.lines) != 1 || !slices.Equal(got, c.want) {
				t.Errorf("the row ends with %q, want %q", got, c.want)
			}
		})
	}
}

func TestTheBareLibraryIsComparedAsIfItSynced(t *testing.T) {
	t.Parallel()
	l := latencies{p50: values{goServer: 0.00045, bare: 0.0001}, sync: 0.0002}
	if got := l.againstSyncs(2, "two fdatasyncs"); len(got) != 1 || !got[0].reached() || got[0].with != bare {
		t.Errorf("0.45 ms against 0.1 ms and two syncs of 0.2 ms is %+v, want a bound that is reached", got)
	}
	if got := l.againstSyncs(1, "one fdatasync"); len(got) != 1 || got[0].reached() {
		t.Errorf("0.45 ms against 0.1 ms and a sync of 0.2 ms is %+v, want a bound that is not reached", got)
	}
}

// Each server is at each place once.
func TestInTurn(t *testing.T) {
	t.Parallel()
	for _, want := range [][]string{{}, {"a"}, {"a", "b", "c"}} {
		for place := range want {
			var got []string
			for repetition := range want {
				got = append(got, inTurn(want, repetition)[place])
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("at place %d are %v, want %v", place, got, want)
			}
		}
		if got := inTurn(want, 7); len(got) != len(want) {
			t.Errorf("%v are %v in turn", want, got)
		}
	}
}
