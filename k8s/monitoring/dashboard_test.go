package monitoring

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// The dashboard conforms to Grafana's schema, with no unknown field, also in the panels'
// options and queries. Its queries are valid and use existing metrics, and each panel has
// a unit.
func TestDashboard(t *testing.T) {
	t.Parallel()
	text := read(t, "dashboard.json")
	known(t, "dashboard.json", text)
	plugins.RegisterDefaultPlugins()
	//lint:ignore SA1019 every Grafana imports a dashboard of this schema; the newer one is for Kubernetes
	var schema dashboard.Dashboard
	// Without an error it returns an empty list of errors, which is not nil.
	if err := schema.UnmarshalJSONStrict([]byte(text)); err != nil && err.Error() != "" {
		t.Error(err)
	}
	if err := schema.Validate(); err != nil {
		t.Error(err)
	}

	var d struct {
		Annotations struct{ List []struct{ Name, Expr string } }
		Panels      []struct {
			Title   string
			Targets []struct{ Expr string }
			GridPos struct{ X, Y, W, H int }

			FieldConfig struct{ Defaults struct{ Unit string } }
		}
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	var expressions []string
	taken := make(map[[2]int]string)
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			expressions = append(expressions, target.Expr)
		}
		if unit := panel.FieldConfig.Defaults.Unit; unit == "" {
			t.Errorf("%q has no unit", panel.Title)
		}
		g := panel.GridPos
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Errorf("%q and %q overlap", panel.Title, other)
				}
				taken[[2]int{x, y}] = panel.Title
			}
		}
	}
	for _, a := range d.Annotations.List {
		expressions = append(expressions, a.Expr)
	}
	if len(expressions) < 20 {
		t.Errorf("the dashboard has %d queries", len(expressions))
	}
	var rules strings.Builder
	rules.WriteString("groups: [{name: dashboard, rules: [\n")
	for i, expr := range expressions {
		expr = strings.NewReplacer("$__rate_interval", "1m", "$job", "counting").Replace(expr)
		fmt.Fprintf(&rules, "{record: expression_%d, expr: %q},\n", i, expr)
	}
	rules.WriteString("]}]\n")
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}
