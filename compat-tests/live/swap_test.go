package live

import (
	"slices"
	"strings"
	"testing"

	"counting/compat-tests/contract"
	"counting/compat-tests/harness"
	"counting/server/protocol"
)

// While the clients keep running, Flask is replaced by the Go server on the same data
// and port, and that by Flask again.
func TestServerIsSwappedInMidCount(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		kind1, kind2 harness.Kind
	}{
		{"with Go and Python", harness.Go, harness.Python},
		{"with Python and Python", harness.Python, harness.Python},
		{"with JavaScript and Go", harness.JavaScript, harness.Go},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			retryClientRace(t, func() { swap(t, tt.kind1, tt.kind2) })
		})
	}
}

func swap(t *testing.T, kind1, kind2 harness.Kind) {
	flask.need(t, kind1, kind2)
	g := newGame(t, contract.Default, contract.Faithful)
	g.pace = slow
	flask.start(g)
	client1, client2 := g.join(kind1, protocol.Client1), g.join(kind2, protocol.Client2)
	g.grows(20)

	g.Kill()
	old := g.numbers()
	goServer.start(g)
	g.grows(20)
	g.stops()
	all := g.numbers()
	added := all[min(len(old), len(all)):]
	if !slices.Equal(all[:len(all)-len(added)], old) {
		t.Fatalf("the Go server changed the lines that Flask had written:\n%q\n%q", old, all)
	}
	if want := spelled(unbrokenUpTo(old)+1, 1, len(added)); !slices.Equal(added, want) {
		t.Errorf("after Flask's lines\n%q\nthe Go server wrote\n%q, want\n%q", old, added, want)
	}

	// Flask assigns 1 and 2 again, but the clients remember their numbers.
	before := [][]int64{counted(client1), counted(client2)}
	flask.start(g)
	g.grows(20)
	for i, client := range []*harness.Program{client1, client2} {
		if client.Ended() {
			t.Errorf("%s has ended", client)
		}
		if kind1 == harness.JavaScript && i == 0 {
			continue // it begins with the number that it is assigned
		}
		// Its last number may not have been acked: then it counts it again.
		last := before[i][len(before[i])-2]
		if again := counted(client)[len(before[i]):]; len(again) == 0 || slices.Min(again) <= last {
			t.Errorf("%s had counted up to %d and then counts %d", client, last, again)
		}
	}
}

// unbrokenUpTo returns the largest k for which the lines have all of 1…k.
func unbrokenUpTo(lines []string) (k int64) {
	in := map[int64]bool{}
	for _, line := range lines {
		in[number(strings.TrimSuffix(line, "\n"))] = true
	}
	for in[k+1] {
		k++
	}
	return k
}
