package metrics

import (
	"counting/server/etcdstore"

	"github.com/prometheus/client_golang/prometheus"
)

// AskStore adds the metrics of a store that several servers share, which are asked
// at each scrape. It may be called once.
func (m *Metrics) AskStore(stats func() etcdstore.Stats) {
	for _, c := range []struct {
		name, help string
		value      func(etcdstore.Stats) int64
	}{
		{"counting_store_appends_total", "Writes of a count to etcd.", func(s etcdstore.Stats) int64 { return s.Appends }},
		{"counting_store_conflicts_total", "Writes of a count that found another revision than expected.", func(s etcdstore.Stats) int64 { return s.Conflicts }},
		{"counting_store_unknown_outcomes_total", "Writes of a count of which etcd did not say in time whether it made them.", func(s etcdstore.Stats) int64 { return s.Unknown }},
		{"counting_store_claims_total", "Games of which this server has become the owner.", func(s etcdstore.Stats) int64 { return s.Claims }},
		{"counting_store_takeovers_total", "Those of them that another server, or this one before it was started again, had not given up.", func(s etcdstore.Stats) int64 { return s.Takeovers }},
		{"counting_store_fenced_total", "Games that this server lost to another owner while they were open.", func(s etcdstore.Stats) int64 { return s.Fenced }},
	} {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: c.name, Help: c.help},
			func() float64 { return float64(c.value(stats())) }))
	}
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "counting_store_owned_games", Help: "Games that this server owns."},
		func() float64 { return float64(stats().Owned) }))
}
