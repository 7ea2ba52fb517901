package metrics

import (
	"errors"
	"strings"
	"testing"
	"time"

	"counting/server/game"
	"counting/server/protocol"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func started() *Metrics {
	m := New("v1")
	one := func() int { return 1 }
	three := func() int64 { return 3 }
	m.RegisterGauges(Gauges{Sessions: one, Connections: one, Usage: func() (int64, int64) { return 1, 2 }, Readers: one,
		Games: func() Games { return Games{3, 2, 1, 1, 1} }, Dropped: func() (int64, int64, int64) { return 1, 2, 3 }, LogLines: three,
		Standby: func() bool { return true }, Forwarding: one})
	return m
}

func TestNamesAndUnitsAreAsPrometheusWantsThem(t *testing.T) {
	t.Parallel()
	problems, err := testutil.GatherAndLint(started().registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestWhatHappensIsCounted(t *testing.T) {
	t.Parallel()
	m := started()
	g := m.Open(2000, 4, time.Unix(1700000000, 0))
	gathers(t, m, `
		# HELP counting_goal The number that the clients count to, as set by -goal, summed over the open games; 0 if unknown.
		# TYPE counting_goal gauge
		counting_goal 2000
		# HELP counting_last_number The number that was written last, summed over the open games.
		# TYPE counting_last_number gauge
		counting_last_number 4
		# HELP counting_last_number_timestamp_seconds When the last number of any game was written, in seconds since 1970; 0 if none was.
		# TYPE counting_last_number_timestamp_seconds gauge
		counting_last_number_timestamp_seconds 1.7e+09
		# HELP counting_games Open games: all of them (open), those with both seats taken (counting), and those that are interrupted.
		# TYPE counting_games gauge
		counting_games{state="counting"} 2
		counting_games{state="interrupted"} 1
		counting_games{state="open"} 3
	`, "counting_games", "counting_goal", "counting_last_number", "counting_last_number_timestamp_seconds")

	g.Written([]float64{5, 6, 7}, time.Millisecond)
	g.Written([]float64{1.5}, time.Millisecond)
	g.Happened(game.Repeated{Number: game.Number{ClientID: "client2"}})
	g.Happened(game.Refused{Code: game.NoSuchSeat, Number: game.Number{ClientID: "whatever a client sends"}})
	g.Happened(game.Alone{})
	g.Storage(errors.New("full"))
	gathers(t, m, `
		# HELP counting_numbers_written_total Numbers written to numbers.txt and synced, by the seat that they belong to.
		# TYPE counting_numbers_written_total counter
		counting_numbers_written_total{seat="client1"} 2
		counting_numbers_written_total{seat="client2"} 1
		counting_numbers_written_total{seat="none"} 1
		# HELP counting_numbers_repeated_total Repeated numbers, which changed nothing, by seat.
		# TYPE counting_numbers_repeated_total counter
		counting_numbers_repeated_total{seat="client1"} 0
		counting_numbers_repeated_total{seat="client2"} 1
		# HELP counting_numbers_refused_total Refused numbers, by reason.
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
		# HELP counting_storage_failing Open games whose numbers.txt cannot be written.
		# TYPE counting_storage_failing gauge
		counting_storage_failing 1
		# HELP counting_stream_events_dropped_total Events that dropped readers had not been sent.
		# TYPE counting_stream_events_dropped_total counter
		counting_stream_events_dropped_total 2
	`, "counting_numbers_written_total", "counting_numbers_repeated_total", "counting_numbers_refused_total",
		"counting_storage_failing", "counting_stream_events_dropped_total")

	g.Storage(nil)
	if failing := testutil.ToFloat64(m.failing); failing != 0 {
		t.Errorf("storage is said to fail: %v", failing)
	}
	if n := testutil.CollectAndCount(m.appended); n != 1 {
		t.Errorf("%d histograms", n)
	}
}

// Gauges are summed over the open games, and closing a game does not change counters.
func TestGamesAreSummed(t *testing.T) {
	t.Parallel()
	m := started()
	a, b := m.Open(100, 10, time.Unix(1700000000, 0)), m.Open(100, 5, time.Unix(1600000000, 0))
	expect := func(last, goal, client1, failing, written float64) {
		t.Helper()
		for name, v := range map[string][2]float64{
			"last":    {testutil.ToFloat64(m.last), last},
			"goal":    {testutil.ToFloat64(m.goal), goal},
			"client1": {testutil.ToFloat64(m.taken.WithLabelValues("client1")), client1},
			"failing": {testutil.ToFloat64(m.failing), failing},
			"written": {testutil.ToFloat64(m.written.WithLabelValues("client1")), written},
		} {
			if v[0] != v[1] {
				t.Errorf("%s is %v, want %v", name, v[0], v[1])
			}
		}
	}
	expect(15, 200, 0, 0, 0)
	if at := testutil.ToFloat64(m.lastAt); at != 1.7e9 {
		t.Errorf("the last number is from %v", at)
	}
	for _, g := range []*Game{a, b} {
		g.Happened(game.Seated{Seat: protocol.Client1})
		g.Happened(game.Seated{Seat: protocol.Client2})
		g.Storage(errors.New("full"))
	}
	a.Written([]float64{11, 12, 13}, 0)
	expect(18, 200, 2, 2, 2)
	b.Missed(3, []protocol.Seat{protocol.Client2})
	b.Missed(3, []protocol.Seat{protocol.Client2})
	expect(18, 200, 1, 2, 2)
	if missed := testutil.ToFloat64(m.missed); missed != 6 {
		t.Errorf("%v were missed", missed)
	}
	a.Close()
	a.Close()
	expect(5, 100, 0, 1, 2)
	a.Written([]float64{15}, 0) // it is late
	a.Happened(game.Seated{Seat: protocol.Client1})
	expect(5, 100, 0, 1, 3)
	b.Close()
	expect(0, 0, 0, 0, 3)
}

func gathers(t *testing.T, m *Metrics, want string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(m.registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}
