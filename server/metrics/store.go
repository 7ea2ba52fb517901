package metrics

import (
	"counting/server/etcdstore"

	"github.com/prometheus/client_golang/prometheus"
)

// AskStore adds the metrics of a store that several servers share, which are asked
// at each scrape. It may be called once.
func (m *Metrics) AskStore(stats func() etcdstore.Stats) {
	type metric struct {
		desc  *prometheus.Desc
		kind  prometheus.ValueType
		value func(etcdstore.Stats) int64
	}
	var all []metric
	add := func(kind prometheus.ValueType, name, help string, value func(etcdstore.Stats) int64) {
		all = append(all, metric{prometheus.NewDesc(name, help, nil, nil), kind, value})
	}
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	add(counter, "counting_store_appends_total", "Writes of a count to etcd.", func(s etcdstore.Stats) int64 { return s.Appends })
	add(counter, "counting_store_conflicts_total", "Writes of a count that found another revision than expected.", func(s etcdstore.Stats) int64 { return s.Conflicts })
	add(counter, "counting_store_unknown_outcomes_total", "Writes of a count of which etcd did not say in time whether it made them.", func(s etcdstore.Stats) int64 { return s.Unknown })
	add(counter, "counting_store_claims_total", "Games of which this server has become the owner.", func(s etcdstore.Stats) int64 { return s.Claims })
	add(counter, "counting_store_takeovers_total", "Those of them that another server, or this one before it was started again, had not given up.", func(s etcdstore.Stats) int64 { return s.Takeovers })
	add(counter, "counting_store_fenced_total", "Games that this server lost to another owner while they were open.", func(s etcdstore.Stats) int64 { return s.Fenced })
	add(gauge, "counting_store_owned_games", "Games that this server owns.", func(s etcdstore.Stats) int64 { return int64(s.Owned) })
	m.registry.MustRegister(together(func(metrics chan<- prometheus.Metric) {
		now := stats()
		for _, a := range all {
			metrics <- prometheus.MustNewConstMetric(a.desc, a.kind, float64(a.value(now)))
		}
	}))
}
