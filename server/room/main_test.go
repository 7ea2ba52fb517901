package room

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"counting/server/game"
	"counting/server/protocol"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeSession records what it is sent.
type fakeSession struct {
	mu     sync.Mutex
	got    []string
	owed   int // acks
	slowed int
	corks  []string // "cork", how much it was sent corked, "uncork"
	corked int      // how much it had been sent before Cork
}

func (s *fakeSession) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, fmt.Sprintf(format, args...))
}

func (s *fakeSession) Emit(event string, payload ...any) {
	if len(payload) > 0 {
		a := payload[0].(protocol.Assignment)
		s.note("%s %s %s", event, a.ClientID, a.LastNumber)
		return
	}
	s.note("%s", event)
}

func (s *fakeSession) Ack(id string, payload ...any) { s.note("ack %s %v", id, payload) }

func (s *fakeSession) Admit() { s.note("admit") }

func (s *fakeSession) Refuse(message string) { s.note("refuse %s", message) }

func (s *fakeSession) Dismiss() { s.note("dismiss") }

func (s *fakeSession) Close() { s.note("close") }

func (s *fakeSession) Owe(acks int) { s.owed = acks }

func (s *fakeSession) Slow() { s.slowed++ }

func (s *fakeSession) Cork() { s.corks, s.corked = append(s.corks, "cork"), len(s.got) }

func (s *fakeSession) Uncork() {
	s.corks = append(s.corks, fmt.Sprintf("uncork %d", len(s.got)-s.corked))
}

// took returns what the session was sent since the last call.
func (s *fakeSession) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

func (s *fakeSession) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := s.took(); !slices.Equal(got, want) {
		t.Errorf("it was sent %q, want %q", got, want)
	}
}

// fakeFile records what is appended to it.
type fakeFile struct {
	upTo  int64
	lines []string
}

func (f *fakeFile) Append(upTo int64) { f.upTo = upTo }

func (f *fakeFile) AppendLine(line string) { f.lines = append(f.lines, line) }

// fakeObserver records what is reported to it, and blocks while blocked is held.
type fakeObserver struct {
	mu      sync.Mutex
	blocked sync.Mutex
	events  []game.Effect
	lines   []float64
	missed  int64
	taken   []protocol.Seat
	storage error
}

func (o *fakeObserver) record(what func()) {
	o.blocked.Lock()
	defer o.blocked.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	what()
}

func (o *fakeObserver) Happened(e game.Effect) { o.record(func() { o.events = append(o.events, e) }) }

func (o *fakeObserver) Written(numbers []float64, _ time.Duration) {
	o.record(func() { o.lines = append(o.lines, numbers...) })
}

func (o *fakeObserver) Storage(err error) { o.record(func() { o.storage = err }) }

func (o *fakeObserver) Missed(n int64, taken []protocol.Seat) {
	o.record(func() { o.missed += n; o.taken = taken })
}

// testRoom is a room with fake dependencies.
type testRoom struct {
	*Room
	t        *testing.T
	file     *fakeFile
	observer *fakeObserver
	log      *strings.Builder // valid while nothing is reported
	failed   chan error
}

// newRoom returns a room that is finished with the test, in a bubble.
func newRoom(t *testing.T, rules Rules, stallTimeout time.Duration) *testRoom {
	r := &testRoom{t: t, file: new(fakeFile), observer: new(fakeObserver), log: new(strings.Builder), failed: make(chan error, 1)}
	r.Room = New(rules, Options{
		Count:        r.file,
		Lines:        r.file,
		Observers:    []Observer{r.observer},
		Log:          slog.New(slog.NewTextHandler(r.log, nil)),
		StallTimeout: stallTimeout,
		Fail:         func(err error) { r.failed <- err },
	})
	t.Cleanup(func() {
		r.Close()
		<-r.Finish()
	})
	return r
}

func (r *testRoom) connect(id, address string) *fakeSession {
	s := new(fakeSession)
	r.Connect(id, address, s)
	return s
}

func (r *testRoom) count(id, seat string, n int64) {
	r.Number(id, []string{fmt.Sprintf(`{"client_id":%q,"number":%d}`, seat, n)}, false, fmt.Sprint(n))
}

// seated returns the sessions A, on client1, and B, on client2.
func (r *testRoom) seated() (a, b *fakeSession) {
	a, b = r.connect("A", "a"), r.connect("B", "b")
	a.took()
	b.took()
	return a, b
}

// reported waits, in a bubble, until what has happened is reported.
func reported() {
	time.Sleep(reportDelay)
	synctest.Wait()
}

// queued returns how many notices wait.
func (r *Room) queued() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.notices.queue)
}
