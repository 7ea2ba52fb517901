package metrics

import (
	"counting/server/etcdstore"

	"github.com/prometheus/client_golang/prometheus"
)

// RegisterStore adds the metrics of the etcd store, which are computed at each scrape.
// It may be called once.
func (m *Metrics) RegisterStore(stats func() etcdstore.Stats) {
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
	add(counter, "counting_store_unknown_outcomes_total", "Writes of a count whose outcome etcd did not report in time.", func(s etcdstore.Stats) int64 { return s.Unknown })
	add(counter, "counting_store_claims_total", "Games that this server has become the owner of.", func(s etcdstore.Stats) int64 { return s.Claims })
	add(counter, "counting_store_takeovers_total", "Games among them whose previous owner, another server or an earlier process of this one, had not released them.", func(s etcdstore.Stats) int64 { return s.Takeovers })
	add(counter, "counting_store_fenced_total", "Games that were open on this server when another server became their owner.", func(s etcdstore.Stats) int64 { return s.Fenced })
	add(gauge, "counting_store_owned_games", "Games that this server owns.", func(s etcdstore.Stats) int64 { return int64(s.Owned) })
	m.registry.MustRegister(together(func(metrics chan<- prometheus.Metric) {
		now := stats()
		for _, a := range all {
			metrics <- prometheus.MustNewConstMetric(a.desc, a.kind, float64(a.value(now)))
		}
	}))
}
