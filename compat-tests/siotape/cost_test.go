package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"counting/compat-tests/harness"
	"counting/compat-tests/results"
)

// acker is a server that opens a session and acks all events.
func acker(t testing.TB) *httptest.Server {
	upgrader := websocket.Upgrader{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		_ = ws.WriteMessage(websocket.TextMessage, []byte(`0{"sid":"0123456789abcdef"}`))
		for {
			_, data, err := ws.ReadMessage()
			if err != nil {
				return
			}
			id, _, _ := strings.Cut(string(data[2:]), "[")
			_ = ws.WriteMessage(websocket.TextMessage, []byte("43"+id+"[]"))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func joined(t testing.TB, url string) *websocket.Conn {
	t.Helper()
	ws := harness.DialSession(t, url, "")
	if _, _, err := ws.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	return ws
}

func ackTime(t testing.TB, ws *websocket.Conn, id int) time.Duration {
	t.Helper()
	began := time.Now()
	if err := ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `42%d["number",{"client_id":"client1","number":%d}]`, id, id)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// The recorder adds little to the time to an ack. On a busy machine the measurement is not
// reliable, so the limit is only checked in a soak.
func TestTheCostOfARecorder(t *testing.T) {
	server := acker(t)
	s := startRecorder(t, "-target", server.URL)
	straight, recorded := joined(t, server.URL), joined(t, s.URL)
	const rounds = 2000
	var without, with []time.Duration
	for id := range rounds {
		without = append(without, ackTime(t, straight, id))
		with = append(with, ackTime(t, recorded, id))
	}
	slices.Sort(without)
	slices.Sort(with)
	added := with[rounds/2] - without[rounds/2]
	table := results.New(t, "siotape-cost", "time to an ack over WebSocket, of 2,000", "p50", "p99")
	table.Row("direct", without[rounds/2], without[rounds*99/100])
	table.Row("through siotape record", with[rounds/2], with[rounds*99/100])
	const most = 200 * time.Microsecond
	if harness.Soak() && added >= most {
		t.Errorf("it adds %v to an ack, want less than %v", added, most)
	}
	if r := s.end(); r.Count().Packets != 2*rounds+1 {
		t.Errorf("%s were recorded", r.Count())
	}
}

// The memory of the recorder is bounded: the recording has as many packets as an hour at
// 1,000 packets per second, or as a minute without SOAK.
func TestALongRecordingTakesBoundedMemory(t *testing.T) {
	packets := 60_000
	if harness.Soak() {
		packets = 3_600_000
	}
	server := acker(t)
	s := startRecorder(t, "-target", server.URL)
	const clients = 10
	var all sync.WaitGroup
	sockets := make([]*websocket.Conn, clients)
	for i := range sockets {
		sockets[i] = joined(t, s.URL)
	}
	began := time.Now()
	var most uint64
	for _, ws := range sockets {
		all.Go(func() {
			for id := range packets / 2 / clients {
				ackTime(t, ws, id)
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(100 * time.Millisecond):
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse+m.StackInuse)
		}
	}
	took := time.Since(began)
	s.stop()
	if code := <-s.done; code != exitSame {
		t.Fatalf("exit code %d: %s", code, &s.output)
	}
	info, err := os.Stat(s.out)
	if err != nil {
		t.Fatal(err)
	}
	table := results.New(t, "siotape-memory", "packets", "time", "file", "peak heap and stacks of recorder, server and clients")
	table.Row(packets, took.Round(time.Second), fmt.Sprintf("%d MB", info.Size()>>20), fmt.Sprintf("%d MB", most>>20))
	const limit = 128 << 20
	if most > limit {
		t.Errorf("%d MB in use", most>>20)
	}
	lines := strings.Count(readAll(t, s.out), "\n")
	if want := packets + 2*clients + 2; lines != want {
		t.Errorf("%d lines, want %d", lines, want)
	}
}

func readAll(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Clean(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
