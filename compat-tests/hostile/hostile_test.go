// Package hostile tests that malicious or broken clients get the documented response,
// while two honest clients count undisturbed.
package hostile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/compat-tests/results"
	"counting/server/room"
)

func TestMain(m *testing.M) { harness.MainAtOnce(m, 16) }

func TestHostileSessionsDisturbNobody(t *testing.T) {
	server := hostileServer(t)
	disturb(t, server, server, results.New(t, "hostile", "group", "what is sent", "response", "numbers counted meanwhile"))
}

// Hostile sessions at a standby are forwarded, and disturb nobody either.
func TestHostileSessionsThroughAStandbyDisturbNobody(t *testing.T) {
	if !harness.Soak() {
		t.Skip("only in make soak: it takes as long as the test above")
	}
	owner := hostileServer(t)
	disturb(t, owner, owner.Standby(t, receiving...), results.New(t, "hostile-standby", "group", "what is sent to a standby", "response", "numbers counted meanwhile"))
}

// receiving raises a limit, as all attacks come from one address at the same time.
var receiving = []string{"-max-receiving", strconv.Itoa(256 << 20)}

func hostileServer(t *testing.T) *harness.Server { return harness.GoServer(t, receiving...) }

// disturb runs all kinds of hostile sessions against a server, which may be a standby
// that forwards to the owner.
func disturb(t *testing.T, owner, server *harness.Server, table *results.Table) {
	honest := honestClients(t, server, 20*time.Millisecond)
	lines := func() int64 { return harness.Lines(t, server.Dir) }
	before, ownerBefore := measure(t, server.URL), measure(t, owner.URL)
	attack := func(t *testing.T, evicting bool) {
		for _, kind := range kinds {
			if evicting != (kind.group == eviction) {
				continue
			}
			t.Run(strings.ReplaceAll(kind.group+"/"+kind.name, " ", "_"), func(t *testing.T) {
				t.Parallel()
				from := lines()
				// A session that joins is refused after HoldTime. If a busy machine took
				// longer than that for the attack, it is repeated.
				var got string
				for range 5 {
					began := time.Now()
					got = kind.attack(newAttacker(t, server))
					if got == kind.want || time.Since(began) < room.HoldTime {
						break
					}
				}
				if got != kind.want {
					t.Errorf("the response is %.300q, want %q", got, kind.want)
				}
				harness.WaitFor(t, "two more numbers", func() bool { return lines() >= from+2 })
				table.Row(kind.group, kind.name, "`"+summary(got)+"`", lines()-from)
			})
		}
	}
	t.Run("kinds", func(t *testing.T) { attack(t, false) })
	// By themselves: they may evict sessions of the others that have not joined yet.
	t.Run("kinds_that_evict", func(t *testing.T) { attack(t, true) })
	undisturbed(t, honest)
	var after usage
	t.Cleanup(func() { t.Logf("used before: %+v, and after: %+v", before, after) })
	harness.WaitFor(t, "the resources to be released", func() bool {
		after = measure(t, server.URL)
		ownerAfter := measure(t, owner.URL)
		return ownerAfter.sessions == 2 && ownerAfter.goroutines <= ownerBefore.goroutines+5 && ownerAfter.files <= ownerBefore.files+5 &&
			ownerAfter.heap <= ownerBefore.heap+10<<20 && after.goroutines <= before.goroutines+5 && after.files <= before.files+5 && after.heap <= before.heap+10<<20
	})
	table.Row("**after all**", fmt.Sprintf("%d kinds", len(kinds)),
		fmt.Sprintf("goroutines %d → %d, open files %d → %d, heap %.1f → %.1f MB", before.goroutines, after.goroutines, before.files, after.files,
			float64(before.heap)/1e6, float64(after.heap)/1e6), lines())
}

// summary shortens a response of many equal parts.
func summary(response string) string {
	first, rest, _ := strings.Cut(response, ", ")
	if n := 1 + strings.Count(rest, first); n > 10 {
		return fmt.Sprintf("%s %d times, %s", first, n, response[strings.LastIndex(response, ", ")+2:])
	}
	return response
}

// honestClients starts two clients that count, and waits until they do.
func honestClients(t *testing.T, server *harness.Server, interval time.Duration) []*harness.Program {
	t.Helper()
	clients := []*harness.Program{
		harness.Go.Start(t, server.URL, interval, math.MaxInt32),
		harness.Go.Start(t, server.URL, interval, math.MaxInt32),
	}
	harness.WaitFor(t, "the count to begin", func() bool { return harness.Lines(t, server.Dir) > 20 })
	return clients
}
