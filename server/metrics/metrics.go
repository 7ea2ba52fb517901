// Package metrics provides the metrics of all games for Prometheus.
package metrics

import (
	"math"
	"net/http"
	"runtime"
	"sync"
	"time"

	"counting/server/engineio"
	"counting/server/forwarding"
	"counting/server/game"
	"counting/server/live"
	"counting/server/protocol"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics holds a server's metrics. Its methods may be called concurrently and do not
// block.
type Metrics struct {
	registry *prometheus.Registry

	written  *prometheus.CounterVec
	repeated *prometheus.CounterVec
	refused  *prometheus.CounterVec
	limits   *prometheus.CounterVec
	forwards *prometheus.CounterVec
	missed   prometheus.Counter
	goal     prometheus.Gauge
	last     prometheus.Gauge
	lastAt   prometheus.Gauge
	appended prometheus.Histogram
	failing  prometheus.Gauge
	taken    *prometheus.GaugeVec
	stopped  *prometheus.CounterVec
	seconds  prometheus.Histogram

	mu     sync.Mutex
	latest time.Time // the latest time of the last number of an opened game
}

// Limits on connections and games, in addition to those of package engineio.
const (
	LimitConnections           engineio.Limit = "connections"
	LimitConnectionsPerAddress engineio.Limit = "connections_per_address"
	LimitGamesPerAddress       engineio.Limit = "games_per_address"
)

// Gauges holds functions that are called at each scrape.
type Gauges struct {
	Sessions func() int // open Engine.IO sessions

	Connections func() int // open TCP connections
	// Usage returns how many bytes count against the limits on receiving and sending.
	Usage func() (receiving, sending int64)

	Games   func() Games
	Readers func() int // readers of the stream

	Standby    func() bool // whether another server owns all games
	Forwarding func() int  // requests that are being forwarded

	LogLines func() int64 // log lines that were dropped

	// Dropped returns how many readers were dropped because they did not read, how many
	// events they had not been sent, and how often a reader that fell behind had to
	// continue from the file.
	Dropped func() (readers, events, behind int64)
}

// Games describes the open games.
type Games struct {
	Open, Counting, Interrupted int // games: all, with both seats taken, and interrupted
	Taken                       int // seats
	Waiting                     int // clients that are held back
}

// otherSeat is the label of numbers that do not belong to a seat: fractions, and those
// with another client_id, which faithful mode accepts.
const otherSeat = "none"

// New returns the metrics of a server without games.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		written: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "counting_numbers_written_total",
			Help: "Numbers written to numbers.txt and synced, by the seat that they belong to.",
		}, []string{"seat"}),
		repeated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "counting_numbers_repeated_total",
			Help: "Repeated numbers, which changed nothing, by seat.",
		}, []string{"seat"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "counting_numbers_refused_total",
			Help: "Refused numbers, by reason.",
		}, []string{"reason"}),
		limits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "counting_limits_reached_total",
			Help: "Requests and sessions that were refused or ended because a limit was reached, by limit.",
		}, []string{"limit"}),
		forwards: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "counting_forwarded_requests_total",
			Help: "Requests forwarded to the server that owns the game, by outcome.",
		}, []string{"outcome"}),
		missed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "counting_events_missed_total",
			Help: "Events that were neither logged nor shown on the page, because the queue of notices was full.",
		}),
		goal: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "counting_goal",
			Help: "The number that the clients count to, as set by -goal, summed over the open games; 0 if unknown.",
		}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "counting_last_number",
			Help: "The number that was written last, summed over the open games.",
		}),
		lastAt: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "counting_last_number_timestamp_seconds",
			Help: "When the last number of any game was written, in seconds since 1970; 0 if none was.",
		}),
		appended: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "counting_append_duration_seconds",
			Help:    "Time from queueing the oldest number of a batch until the batch is written and synced.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16), // 0.1 ms to 3.3 s
		}),
		failing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "counting_storage_failing",
			Help: "Open games whose numbers.txt cannot be written.",
		}),
		taken: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "counting_seat_taken",
			Help: "Open games in which the seat is taken.",
		}, []string{"seat"}),
		stopped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "counting_interruptions_total",
			Help: "Finished interruptions of the count, by cause.",
		}, []string{"cause"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "counting_interruption_seconds",
			Help:    "Time from the last number before an interruption to the first one after it.",
			Buckets: []float64{0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600},
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "counting_build_info",
		Help:        "Always 1; the labels are the versions of the server and of Go.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.written, m.repeated, m.refused, m.limits, m.forwards, m.missed, m.goal, m.last, m.lastAt, m.appended, m.failing, m.taken, m.stopped, m.seconds, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	// Series are initialized to 0, since rate() needs a first value.
	for _, seat := range protocol.Seats {
		m.written.WithLabelValues(seat.String())
		m.repeated.WithLabelValues(seat.String())
		m.taken.WithLabelValues(seat.String())
	}
	for _, cause := range live.Causes {
		m.stopped.WithLabelValues(string(cause))
	}
	for _, code := range game.Codes {
		m.refused.WithLabelValues(string(code))
	}
	for _, limit := range append(engineio.AllLimits[:], LimitConnections, LimitConnectionsPerAddress, LimitGamesPerAddress) {
		m.limits.WithLabelValues(string(limit))
	}
	for _, outcome := range forwarding.Outcomes {
		m.forwards.WithLabelValues(string(outcome))
	}
	for _, limit := range live.AllLimits {
		m.limits.WithLabelValues(string(limit))
	}
	return m
}

// together is a collector of metrics that are computed together, once for each scrape.
type together func(chan<- prometheus.Metric)

// Describe sends nothing, which makes it an unchecked collector.
func (together) Describe(chan<- *prometheus.Desc) {}

// Collect sends the metrics.
func (t together) Collect(metrics chan<- prometheus.Metric) { t(metrics) }

// RegisterGauges adds the metrics that are computed at each scrape. It may be called
// once.
func (m *Metrics) RegisterGauges(g Gauges) {
	gauge := func(name, help string, value func() int) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(value()) }))
	}
	counter := func(name, help string, value func() int64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(value()) }))
	}
	gauge("counting_sessions", "Open Engine.IO sessions.", g.Sessions)
	gauge("counting_connections", "Open TCP connections.", g.Connections)
	gauge("counting_receiving_bytes", "Bytes of incomplete packets, not counting 4 KiB of each.", func() int { receiving, _ := g.Usage(); return int(receiving) })
	gauge("counting_sending_bytes", "Bytes that wait to be sent, not counting 4 KiB of each session.", func() int { _, sending := g.Usage(); return int(sending) })
	games := prometheus.NewDesc("counting_games", "Open games: all of them (open), those with both seats taken (counting), and those that are interrupted.", []string{"state"}, nil)
	taken := prometheus.NewDesc("counting_seats_taken", "Taken seats, of two in each game.", nil, nil)
	waiting := prometheus.NewDesc("counting_waiting_clients", "Clients that wait for a seat.", nil, nil)
	m.registry.MustRegister(together(func(metrics chan<- prometheus.Metric) {
		gauge := func(desc *prometheus.Desc, n int, labels ...string) {
			metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), labels...)
		}
		now := g.Games()
		gauge(games, now.Open, "open")
		gauge(games, now.Counting, "counting")
		gauge(games, now.Interrupted, "interrupted")
		gauge(taken, now.Taken)
		gauge(waiting, now.Waiting)
	}))
	gauge("counting_stream_readers", "Readers of the event stream.", g.Readers)
	gauge("counting_standby", "1 while another server owns all games and requests are forwarded to it, otherwise 0.", func() int {
		if g.Standby() {
			return 1
		}
		return 0
	})
	gauge("counting_forwarding_requests", "Requests that are being forwarded, including waiting polls and WebSockets.", g.Forwarding)
	counter("counting_log_lines_dropped_total", "Log lines that were dropped, because of a limit or because the log was not read fast enough.", g.LogLines)
	counter("counting_stream_readers_dropped_total", "Readers of the event stream that were dropped because they were too slow.", func() int64 { readers, _, _ := g.Dropped(); return readers })
	counter("counting_stream_events_dropped_total", "Events that dropped readers had not been sent.", func() int64 { _, events, _ := g.Dropped(); return events })
	counter("counting_stream_readers_behind_total", "How often a reader of the event stream fell behind and continued from the file.", func() int64 { _, _, behind := g.Dropped(); return behind })
}

// ServeHTTP answers a scrape.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// LimitReached counts that a limit was reached.
func (m *Metrics) LimitReached(limit engineio.Limit) { m.limits.WithLabelValues(string(limit)).Inc() }

// Forwarded counts a request that was forwarded to another server.
func (m *Metrics) Forwarded(outcome forwarding.Outcome) {
	m.forwards.WithLabelValues(string(outcome)).Inc()
}

// Interrupted counts an interruption that is over.
func (m *Metrics) Interrupted(cause string, seconds float64) {
	m.stopped.WithLabelValues(cause).Inc()
	m.seconds.Observe(seconds)
}

func seatOf(n float64) protocol.Seat {
	if n != math.Trunc(n) {
		return protocol.NoSeat
	}
	return protocol.SeatOf(int64(n))
}

func label(seat protocol.Seat) string {
	if seat == protocol.NoSeat {
		return otherSeat
	}
	return seat.String()
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
