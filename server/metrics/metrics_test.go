package metrics

import (
	"errors"
	"strings"
	"testing"
	"time"

	"counting/server/game"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func started(last int64, lastAt time.Time) *Metrics {
	m := New("v1", 2000, last, lastAt)
	one := func() int { return 1 }
	three := func() int64 { return 3 }
	m.Ask(Gauges{Sessions: one, Connections: one, Usage: func() (int64, int64) { return 1, 2 }, Taken: one, Waiting: one, Readers: one,
		Dropped: func() (int64, int64, int64) { return 1, 2, 3 }, Missed: three, LogLines: three})
	return m
}

func TestNamesAndUnitsAreAsPrometheusWantsThem(t *testing.T) {
	t.Parallel()
	problems, err := testutil.GatherAndLint(started(0, time.Time{}).registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestWhatHappensIsCounted(t *testing.T) {
	t.Parallel()
	m := started(4, time.Unix(1700000000, 0))
	gathers(t, m, `
		# HELP counting_goal The number that the clients were told to count to, as -goal says; 0 if it is not known.
		# TYPE counting_goal gauge
		counting_goal 2000
		# HELP counting_last_number The number that was written last.
		# TYPE counting_last_number gauge
		counting_last_number 4
		# HELP counting_last_number_timestamp_seconds When the last number was written, in seconds since 1970; 0 if none ever was.
		# TYPE counting_last_number_timestamp_seconds gauge
		counting_last_number_timestamp_seconds 1.7e+09
	`, "counting_goal", "counting_last_number", "counting_last_number_timestamp_seconds")

	m.Written([]float64{5, 6, 7}, time.Millisecond)
	m.Written([]float64{1.5}, time.Millisecond)
	m.Happened(game.Repeated{Number: game.Number{ClientID: "client2"}})
	m.Happened(game.Refused{Code: game.NoSuchSeat, Number: game.Number{ClientID: "whatever a client sends"}})
	m.Happened(game.Alone{})
	m.Storage(errors.New("full"))
	gathers(t, m, `
		# HELP counting_numbers_written_total Numbers written to numbers.txt and synced, by the seat whose turn they are.
		# TYPE counting_numbers_written_total counter
		counting_numbers_written_total{seat="client1"} 2
		counting_numbers_written_total{seat="client2"} 1
		counting_numbers_written_total{seat="none"} 1
		# HELP counting_numbers_repeated_total Numbers that came again and changed nothing, by seat.
		# TYPE counting_numbers_repeated_total counter
		counting_numbers_repeated_total{seat="client1"} 0
		counting_numbers_repeated_total{seat="client2"} 1
		# HELP counting_numbers_refused_total Numbers that were turned away, by reason.
		# TYPE counting_numbers_refused_total counter
		counting_numbers_refused_total{reason="below_one"} 0
		counting_numbers_refused_total{reason="beyond_the_end"} 0
		counting_numbers_refused_total{reason="malformed"} 0
		counting_numbers_refused_total{reason="no_such_seat"} 1
		counting_numbers_refused_total{reason="not_its_seat"} 0
		counting_numbers_refused_total{reason="not_joined"} 0
		counting_numbers_refused_total{reason="not_spelled"} 0
counting_numbers_refused_total{reason="not_whole"} 0
		counting_numbers_refused_total{reason="too_far_ahead"} 0
		counting_numbers_refused_total{reason="too_many_acks"} 0
counting_numbers_refused_total{reason="too_many_lines"} 0
		counting_numbers_refused_total{reason="wrong_parity"} 0
		# HELP counting_storage_failing 1 while numbers.txt cannot be written, else 0.
		# TYPE counting_storage_failing gauge
		counting_storage_failing 1
		# HELP counting_stream_events_dropped_total Events that readers who were dropped had not been sent.
		# TYPE counting_stream_events_dropped_total counter
		counting_stream_events_dropped_total 2
	`, "counting_numbers_written_total", "counting_numbers_repeated_total", "counting_numbers_refused_total",
		"counting_storage_failing", "counting_stream_events_dropped_total")

	m.Storage(nil)
	if failing := testutil.ToFloat64(m.failing); failing != 0 {
		t.Errorf("storage is said to fail: %v", failing)
	}
	if n := testutil.CollectAndCount(m.appended); n != 1 {
		t.Errorf("%d histograms", n)
	}
}

func gathers(t *testing.T, m *Metrics, want string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(m.registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}
