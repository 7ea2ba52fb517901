package etcdstore

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"counting/compat-tests/results"
)

// simulate runs the simulation with a seed.
func simulate(t *testing.T, seed uint64) (s *simulation) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s = newSimulation(seed)
		if s.run() == nil {
			s.register.check(t)
		}
	})
	return s
}

// Three servers with six games on one register, and everything that can go wrong:
// requests, answers and reports are late or lost, commits are carried out long after
// they were given up, leases end too early, servers are cut off, killed, stopped and
// started again, or believe that others have ended. SIMULATE=12 runs the seed 12,
// SIMULATE=1000-2000 all of those; with SOAK there are 10,000.
func TestSimulation(t *testing.T) {
	t.Parallel()
	from, to := uint64(1), uint64(500)
	if os.Getenv("SOAK") != "" {
		to = 10_000
		table := results.New(t, "simulation", "seeds", "without a violation", "seeds in a second")
		began := time.Now()
		t.Cleanup(func() {
			if !t.Failed() {
				table.Row(to, to, int(float64(to)/time.Since(began).Seconds()))
			}
		})
	}
	if text := os.Getenv("SIMULATE"); text != "" {
		first, last, several := strings.Cut(text, "-")
		if !several {
			last = first
		}
		var err, err2 error
		from, err = strconv.ParseUint(first, 10, 64)
		if to, err2 = strconv.ParseUint(last, 10, 64); err != nil || err2 != nil || to < from {
			t.Fatalf("SIMULATE is %q: it must be a seed, or two with - between", text)
		}
	}
	began := time.Now()
	const parts = 4
	t.Run("parts", func(t *testing.T) {
		for part := range min(parts, to-from+1) {
			t.Run(fmt.Sprint(part), func(t *testing.T) {
				t.Parallel()
				for seed := from + part; seed <= to && !t.Failed(); seed += parts {
					s := simulate(t, seed)
					if from == to {
						t.Log("\n" + strings.Join(s.lines, "\n"))
					}
					if s.err != nil {
						t.Errorf("seed %d: %v\nSIMULATE=%d go test -run '^TestSimulation$' -v ./server/etcdstore has the history, which ends with\n%s",
							seed, s.err, seed, strings.Join(s.lines[max(0, len(s.lines)-20):], "\n"))
					}
				}
			})
		}
	})
	t.Logf("%d seeds in %v", to-from+1, time.Since(began).Round(time.Millisecond))
}

// The same seed has the same history up to the end of the faults. Then several games
// of a server may go on at the same moment, in an order that the scheduler has.
func TestSimulationIsDeterministic(t *testing.T) {
	t.Parallel()
	compared := 0
	for seed := range uint64(10) {
		a, b := simulate(t, seed).untilHealed(), simulate(t, seed).untilHealed()
		compared += len(a)
		if slices.Equal(a, b) {
			continue
		}
		for i := range a {
			if i >= len(b) || a[i] != b[i] {
				t.Errorf("seed %d: the line %d is first\n%s\nand then\n%s", seed, i, a[i], b[min(i, len(b)-1)])
				break
			}
		}
	}
	if compared < 2000 {
		t.Errorf("only %d lines were compared", compared)
	}
}

// untilHealed returns the history up to the end of the faults.
func (s *simulation) untilHealed() []string {
	end := slices.IndexFunc(s.lines, func(line string) bool {
		return strings.Contains(line, "the faults end")
	})
	if end < 0 {
		end = len(s.lines)
	}
	return s.lines[:end]
}
