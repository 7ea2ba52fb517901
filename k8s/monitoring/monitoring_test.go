// Package monitoring has the tests of the alerts, the dashboard and the scrape
// configurations.
package monitoring

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/server/metrics"
)

// Each alert fires when it should, and does not when it should not.
func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", "alerts.yaml")
	promtool(t, "test", "rules", "alerts_test.yaml")

	rules, tests := read(t, "alerts.yaml"), read(t, "alerts_test.yaml")
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(rules, -1) {
		fires := regexp.MustCompile(`alertname: ` + m[1] + `\n\s+exp_alerts:\n\s+- `).MatchString(tests)
		quiet := strings.Contains(tests, "alertname: "+m[1]+", exp_alerts: []")
		if !fires || !quiet {
			t.Errorf("%s: it fires in a test: %v, and does not fire in a test: %v", m[1], fires, quiet)
		}
	}
	known(t, "alerts.yaml", rules)
	known(t, "alerts_test.yaml", tests)
}

// known fails the test for each metric in the text that the server does not have.
func known(t *testing.T, name, text string) {
	t.Helper()
	m := metrics.New("v1")
	zero := func() int { return 0 }
	none := func() int64 { return 0 }
	m.RegisterGauges(metrics.Gauges{Sessions: zero, Connections: zero, Usage: func() (int64, int64) { return 0, 0 }, Readers: zero,
		Games: func() metrics.Games { return metrics.Games{} }, Standby: func() bool { return false }, Forwarding: zero, LogLines: none, Dropped: func() (int64, int64, int64) { return 0, 0, 0 }})
	m.Open(2000, 1, time.Now()).Written([]float64{1}, time.Millisecond)
	scrape := httptest.NewRecorder()
	m.ServeHTTP(scrape, httptest.NewRequest("GET", "/metrics", nil))
	for _, metric := range regexp.MustCompile(`\bcounting_\w+`).FindAllString(text, -1) {
		if !regexp.MustCompile(`(?m)^` + metric + `[ {]`).MatchString(scrape.Body.String()) {
			t.Errorf("%s uses %s, which the server does not have", name, metric)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	harness.Need(t, harness.PromtoolProgram)
	path, err := exec.LookPath("promtool")
	if err != nil { // compat-tests/setup puts it there
		path, err = exec.LookPath("../../compat-tests/.tools/promtool")
	}
	if err != nil {
		t.Fatal("no promtool here: run compat-tests/setup, or install Prometheus, which it comes with")
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
