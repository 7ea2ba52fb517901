package etcdstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"counting/compat-tests/results"
)

// mutants are faults that the simulation must find. Each replaces a piece of a
// file, which is there once.
var mutants = map[string]struct{ file, old, new string }{
	"the_register_does_not_compare_the_revision": {"memory_test.go",
		`if now.revision != ch.expected {`, `if false {`},
	"the_revision_is_read_just_before_the_commit": {"commits.go",
		`p.change.value = p.value()`, `if out, err := c.commit(context.Background(), []change{{key: p.key, expected: -1}}); err == nil {
			p.change.expected = out[0].now.revision
		}
		p.change.value = p.value()`},
	"a_take-over_has_no_epoch_of_its_own": {"ownership.go",
		`v.Epoch++`, `v.Epoch = max(v.Epoch, 1)`},
	"an_owner_whose_lease_has_ended_is_believed": {"ownership.go",
		`if now.revision == 0 {
		return nil, nil
	}
	r, err := decodeReplica(now)`, `if now.revision == 0 {
		return nil, store.ErrNoOwner
	}
	r, err := decodeReplica(now)`},
	"an_owner_is_remembered_for_ever": {"store.go",
		`time.Now().Before(m.until) && !s.refuses(m.key)`, `!s.refuses(m.key)`},
	"an_owner_continues_after_a_takeover": {"count.go",
		`case v.Owner != c.store.owner || v.Epoch != c.epoch:`, `case false:`},
	"an_ack_before_the_commit": {"count.go",
		`out, err := c.store.commits.change(change{key: c.key, expected: c.revision}, c.next)`,
		`c.next()
		c.written(c.taken, r)
		out, err := c.store.commits.change(change{key: c.key, expected: c.revision}, c.next)`},
	"an_unknown_outcome_is_taken_as_done": {"count.go",
		`c.store.stats.unknown.Add(1)`, `c.store.stats.unknown.Add(1)
			c.written(c.taken, r)
			continue`},
	"an_unknown_outcome_is_taken_as_failed_and_written_again": {"count.go",
		`if now, err = c.ask(began); err != nil {
				return err
			}`, `if now, err = c.ask(began); err != nil {
				return err
			}
			c.revision = now.revision
			continue`},
	"an_unknown_claim_is_taken_as_done": {"ownership.go",
		`now, err = s.read(ctx, now.key)
		}`, `return newCount(s, game, v, now.revision+1), nil
		}`},
	"a_conflict_is_taken_as_done": {"count.go",
		`if err == nil && out.done {
			c.store.stats.appends.Add(1)`, `if err == nil {
			c.store.stats.appends.Add(1)`},
	"a_server_that_was_started_again_does_not_know_its_games": {"value.go",
		`return ok && err == nil && n < incarnation`, `return ok && err == nil && n > incarnation`},
	"a_server_takes_games_from_a_later_one_of_its_name": {"value.go",
		`return ok && err == nil && n < incarnation`, `return ok && err == nil && n != incarnation`},
	"an_owner_that_runs_is_taken_for_dead": {"ownership.go",
		`if s.refuses(v.Owner) {`, `if len(s.owners) > 0 {`},
	"an_owner_does_not_ask_whether_it_still_is": {"confirm.go",
		`if time.Since(c.confirmed) >= confirmTime/2 {`, `if false {`},
	"an_owner_is_confirmed_by_a_request_of_before": {"confirm.go",
		`c.confirmed.After(called)`, `c.confirmed.After(called.Add(-confirmTime))`},
	"a_server_stops_while_a_game_is_opened": {"store.go",
		`go func() { s.opening.Wait(); close(opened) }()`, `close(opened)`},
}

// The seeds that every test run has find each of the mutants. That takes a compiler, and some minutes,
// so that it is done with SOAK; without, only that the mutants are still changes of
// the source.
func TestMutants(t *testing.T) {
	t.Parallel()
	var table *results.Table
	if os.Getenv("SOAK") != "" {
		table = results.New(t, "mutants", "fault in a copy of the source", "first seed that finds it", "how")
	}
	caught := regexp.MustCompile(`seed (\d+): (.*)`)
	for _, name := range slices.Sorted(maps.Keys(mutants)) {
		m := mutants[name]
		t.Run(name, func(t *testing.T) {
			source, err := os.ReadFile(m.file)
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(source, []byte(m.old)); n != 1 {
				t.Fatalf("%s has the text that is to be replaced %d times: %s", m.file, n, m.old)
			}
			source = bytes.Replace(source, []byte(m.old), []byte(m.new), 1)
			if _, err := parser.ParseFile(token.NewFileSet(), m.file, source, 0); err != nil {
				t.Fatal(err)
			}
			if table == nil {
				return
			}
			dir := t.TempDir()
			here, err := filepath.Abs(m.file)
			if err != nil {
				t.Fatal(err)
			}
			mutated, overlay := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json")
			text, err := json.Marshal(map[string]map[string]string{"Replace": {here: mutated}})
			for file, content := range map[string][]byte{mutated: source, overlay: text} {
				if err == nil {
					err = os.WriteFile(file, content, 0o666)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			run := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-overlay", overlay, "-run", "^TestSimulation$", "-count=1", ".")
			run.Env = append(os.Environ(), "SIMULATE=", "SOAK=")
			output, err := run.CombinedOutput()
			var seeds []int
			whats := make(map[int]string)
			for _, found := range caught.FindAllStringSubmatch(string(output), -1) {
				seed, _ := strconv.Atoi(found[1])
				seeds, whats[seed] = append(seeds, seed), found[2]
			}
			if err == nil || len(seeds) == 0 {
				t.Fatalf("the seeds of every test run do not find it: %v\n%s", err, output[max(0, len(output)-2000):])
			}
			slices.Sort(seeds)
			table.Row(strings.ReplaceAll(name, "_", " "), seeds[0], fmt.Sprintf("%.120s", strings.TrimSpace(whats[seeds[0]])))
		})
	}
}
