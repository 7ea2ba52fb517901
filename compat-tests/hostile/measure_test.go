package hostile

import (
	"net/http"
	"strings"
	"testing"

	"counting/compat-tests/harness"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// undisturbed checks that the honest clients did not notice anything.
func undisturbed(t *testing.T, honest []*harness.Program) {
	t.Helper()
	for _, client := range honest {
		if out := client.Output(); strings.Count(out, "Connected to server!") != 1 || strings.Contains(out, "Error") || strings.Contains(out, "Game stopped!") {
			t.Errorf("%s was disturbed:\n%.2000s", client, out)
		}
	}
}

// usage is what the server uses at a moment.
type usage struct{ sessions, goroutines, files, heap int }

func measure(t *testing.T, url string) usage {
	t.Helper()
	http.DefaultClient.CloseIdleConnections() // they would be counted
	response, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	value := func(name string) int {
		var f *dto.MetricFamily
		if f = families[name]; f == nil {
			t.Fatalf("/metrics has no %s", name)
		}
		return int(f.GetMetric()[0].GetGauge().GetValue())
	}
	return usage{value("counting_sessions"), value("go_goroutines"), value("process_open_fds"), value("go_memstats_heap_alloc_bytes")}
}
