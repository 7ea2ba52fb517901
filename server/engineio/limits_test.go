package engineio

import (
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Bytes of incomplete messages and bytes that clients do not read are bounded; only the
// client that exceeds the limit is refused or ended.
func TestBudgets(t *testing.T) {
	t.Parallel()
	t.Run("of a body that is not finished", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{Limits: Limits{Receiving: 256 << 10}})
		sid := s.opens()
		var bodies []*io.PipeWriter
		for range 8 {
			reader, writer := io.Pipe()
			bodies = append(bodies, writer)
			go func() {
				response, err := http.Post(s.url+"/?EIO=4"+sid, "text/plain", reader)
				if err == nil {
					response.Body.Close()
				}
			}()
			go writer.Write([]byte(strings.Repeat("4", 100_000)))
		}
		waitFor(t, "some to be refused", func() bool { return s.reached(LimitReceiving) >= 6 })
		if receiving, _ := s.Usage(); receiving > 256<<10 {
			t.Errorf("%d bytes are being received", receiving)
		}
		if status, _ := s.request("POST", sid, "4hello"); status != http.StatusOK {
			t.Errorf("meanwhile, an ordinary request is answered %d", status)
		}
		for _, body := range bodies {
			body.Close()
		}
		waitFor(t, "the bytes to be given back", func() bool { receiving, _ := s.Usage(); return receiving == 0 })
	})
	t.Run("of a message that is not finished", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{Limits: Limits{Receiving: 256 << 10}})
		for range 8 {
			conn := s.dial("")
			conn.NetConn().Write([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 0, 0, 0})
			go conn.NetConn().Write(make([]byte, 100_000))
		}
		waitFor(t, "some to be ended", func() bool { return s.reached(LimitReceiving) >= 6 })
		honest := s.dial("")
		write(t, honest, "4hello")
		expect(t, honest, "0{", "4hello")
	})
	t.Run("of what nobody takes", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{Limits: Limits{Sending: 64 << 10}})
		greedy := []string{s.opens(), s.opens(), s.opens()}
		waitFor(t, "one to be ended", func() bool {
			for _, sid := range greedy {
				s.request("POST", sid, "4"+strings.Repeat("x", 10_000))
			}
			return s.reached(LimitSending) > 0
		})
		if _, sending := s.Usage(); sending > 64<<10 {
			t.Errorf("%d bytes wait to be sent", sending)
		}
		honest := s.opens()
		s.request("POST", honest, "4hello")
		if _, text := s.request("GET", honest, ""); text != "4hello" {
			t.Errorf("meanwhile, an ordinary session gets %q", text)
		}
	})
	t.Run("of packets for one session", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{Limits: Limits{PacketsPerSession: 10}})
		sid := s.opens()
		s.request("POST", sid, "4"+strings.Repeat("x\x1e4", 20))
		waitFor(t, "it to be ended", func() bool { return s.Sessions() == 0 })
		if s.reached(LimitPackets) != 1 {
			t.Errorf("the limits are %v", s.limits)
		}
	})
	t.Run("of a client that does not read its WebSocket", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{Limits: Limits{Sending: 1 << 20}})
		conn := s.dial("")
		go func() { // echoed, and never read
			for conn.WriteMessage(websocket.TextMessage, []byte("4"+strings.Repeat("x", 50_000))) == nil {
			}
		}()
		waitFor(t, "it to be ended", func() bool { return s.Sessions() == 0 })
		waitFor(t, "what waited to be forgotten", func() bool { _, sending := s.Usage(); return sending == 0 })
	})
}

func TestSlots(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Limits: Limits{Sessions: 3}})
	first := s.opens()
	for range 10 {
		s.opens()
	}
	waitFor(t, "the oldest to be gone", func() bool { return s.Sessions() == 3 })
	if status, _ := s.request("POST", first, "4x"); status != http.StatusBadRequest {
		t.Errorf("the oldest session answers %d", status)
	}
	if n := s.reached(LimitAbandoned); n != 8 {
		t.Errorf("%d sessions were evicted, want 8", n)
	}
}

// The sessions of one group cannot use the slots of all groups, and idle sessions are
// evicted within each limit that is reached.
func TestSlotsOfGroups(t *testing.T) {
	t.Parallel()
	asked := func(w http.ResponseWriter, r *http.Request, open func(string)) {
		switch group := r.URL.Query().Get("group"); group {
		case "nobody":
			Refuse(w, http.StatusTeapot, "nobody may come", true)
		default:
			open(group)
		}
	}
	s := start(t, Options{Admit: asked, Limits: Limits{Sessions: 6, SessionsPerGroup: 3}})
	open := func(group string) (int, string) { return s.request("GET", "&group="+group, "") }
	expect := func(group string, status int, text string) {
		t.Helper()
		if got, answer := open(group); got != status || !strings.Contains(answer, text) {
			t.Errorf("a session in %q is answered %d %s, want %d", group, got, answer, status)
		}
	}
	for range 10 {
		expect("a", http.StatusOK, `"sid"`) // the oldest is evicted
	}
	expect("b", http.StatusOK, `"sid"`)
	waitFor(t, "the evicted sessions to be gone", func() bool { return s.Sessions() == 4 })
	s.Server.mu.Lock() // now they join
	for _, session := range s.Server.sessions {
		s.Server.slots.setIdle(session, false)
		if g := session.Group(); g != "a" && g != "b" {
			t.Errorf("a session is in the group %q", g)
		}
	}
	s.Server.mu.Unlock()
	expect("a", http.StatusServiceUnavailable, `"too many sessions in \"a\": the limit is 3"`)
	if n := s.reached(LimitSessionsPerGroup); n != 1 {
		t.Errorf("the limit was reached %d times", n)
	}
	for range 5 {
		expect("b", http.StatusOK, `"sid"`)
		expect("c", http.StatusOK, `"sid"`)
	}
	waitFor(t, "the evicted sessions to be gone", func() bool { return s.Sessions() == 6 })
	expect("nobody", http.StatusTeapot, `"nobody may come"`)
	if _, response, err := websocket.DefaultDialer.Dial(strings.Replace(s.url, "http", "ws", 1)+"/?EIO=4&transport=websocket&group=nobody", nil); err == nil || response.StatusCode != http.StatusTeapot || response.Header.Get("Retry-After") == "" {
		t.Errorf("over WebSocket: %v, %v", response, err)
	}
	s.Server.mu.Lock()
	defer s.Server.mu.Unlock()
	if n := len(s.Server.slots.group); n != 3 {
		t.Errorf("%d groups are kept", n)
	}
}

// Sessions that have joined nothing are ended in time, the oldest first.
func TestOverdue(t *testing.T) {
	t.Parallel()
	const after = 10 * time.Second
	l := newSlots(Limits{})
	var sessions []*Session
	start := time.Unix(1000, 0)
	for i := range 4 {
		s := &Session{group: "g"}
		l.acquire(s)
		l.setIdle(s, true)
		s.idleSince = start.Add(time.Duration(i) * time.Second)
		sessions = append(sessions, s)
	}
	l.setIdle(sessions[1], false) // it has joined
	hour := start.Add(time.Hour)
	for _, tt := range []struct {
		at   time.Duration
		want []*Session
		next time.Time
	}{
		{after - 1, nil, start.Add(after)},
		{after, sessions[:1], start.Add(after + 2*time.Second)},
		{after + 5*time.Second, sessions[2:], hour},
		{time.Minute, nil, hour},
	} {
		got, next := l.overdue(start.Add(tt.at-after), hour, after)
		if !slices.Equal(got, tt.want) || !next.Equal(tt.next) {
			t.Errorf("after %v, %d are overdue, and the next at %v; want %d, %v", tt.at, len(got), next, len(tt.want), tt.next)
		}
	}
	if _, next := l.overdue(start, start, after); !next.Equal(start) {
		t.Errorf("what is earlier is not kept: %v", next)
	}
}

// What a handler reserves counts until it gives it back or the session ends.
func TestReserve(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Limits: Limits{Receiving: 1000}})
	session := s.opened(s.opens())
	for i, tt := range []struct {
		bytes   int
		ok      bool
		counted int64
		limits  int
	}{
		{allowance + 900, true, 900, 0},
		{100, true, 1000, 0},
		{1, false, 1000, 1},
		{-200, true, 800, 1},
		{201, false, 800, 2},
		{200, true, 1000, 2},
	} {
		err := session.Reserve(tt.bytes)
		if got, _ := s.Usage(); (err == nil) != tt.ok || got != tt.counted || s.reached(LimitReceiving) != tt.limits {
			t.Errorf("%d: after %d bytes, %d are counted and the limit was reached %d times, %v", i, tt.bytes, got, s.reached(LimitReceiving), err)
		}
	}
	session.Close("it ends")
	waitFor(t, "the session to end", func() bool {
		session.mu.Lock()
		defer session.mu.Unlock()
		return session.settled
	})
	for _, bytes := range []int{-100, allowance + 2000} {
		if err := session.Reserve(bytes); err != nil {
			t.Errorf("after the end: %v", err)
		}
		if got, _ := s.Usage(); got != 0 {
			t.Errorf("after the end, %d bytes are counted", got)
		}
	}
}

// A session that is evicted for one limit counts for the others of which it uses a slot,
// and for those only.
func TestVictimsOfSeveralLimits(t *testing.T) {
	t.Parallel()
	at := func(address, group string) *Session {
		return &Session{addressKey: netip.MustParseAddr(address), group: group}
	}
	for _, tt := range []struct {
		name           string
		address, group string
		victims        []int
	}{
		{"the address and the group of one session", "10.0.0.1", "a", []int{0}},
		{"the address of one, the group of the other", "10.0.0.1", "b", []int{0, 1}},
		{"the group of one", "10.0.0.3", "b", []int{1}},
		{"neither", "10.0.0.3", "c", []int{0}},
	} {
		l := newSlots(Limits{Sessions: 2, SessionsPerAddress: 1, SessionsPerGroup: 1})
		open := []*Session{at("10.0.0.1", "a"), at("10.0.0.2", "b")}
		for _, s := range open {
			if victims, reached := l.acquire(s); victims != nil || reached != "" {
				t.Fatalf("the first sessions evict %d, limit %q", len(victims), reached)
			}
			l.setIdle(s, true)
		}
		third := at(tt.address, tt.group)
		victims, reached := l.acquire(third)
		var got []int
		for _, v := range victims {
			got = append(got, slices.Index(open, v))
		}
		if !slices.Equal(got, tt.victims) || reached != "" {
			t.Errorf("%s: evicted %v, limit %q; want %v", tt.name, got, reached, tt.victims)
		}
		if want := 3 - len(tt.victims); l.all.open != want {
			t.Errorf("%s: %d are open, want %d", tt.name, l.all.open, want)
		}
		open = append(open, third)
		for _, s := range open {
			l.release(s)
			l.release(s)
		}
		if l.all.open != 0 || len(l.address) != 0 || len(l.group) != 0 || l.all.oldest() != nil {
			t.Errorf("%s: of sessions that have ended, %d are open, with %d addresses and %d groups", tt.name, l.all.open, len(l.address), len(l.group))
		}
	}
}

// A budget is used up to its last byte, and not beyond. What an address has given back,
// others can use.
func TestTheLastByteOfABudget(t *testing.T) {
	t.Parallel()
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	budget := newBudget(10, 7)
	for _, tt := range []struct {
		address  netip.Addr
		from, to int64
		ok       bool
		used     int64
	}{
		{a, 0, allowance, true, 0},
		{a, allowance, allowance + 8, false, 0},
		{a, allowance, allowance + 7, true, 7},
		{a, 0, allowance + 1, false, 7}, // of a second session
		{b, 0, allowance + 4, false, 7},
		{b, 0, allowance + 3, true, 10},
		{b, allowance + 3, allowance + 3, true, 10},
		{b, 0, 1, true, 10}, // not counted
		{a, allowance + 7, allowance + 2, true, 5},
		{b, allowance + 3, allowance + 8, false, 5},
		{b, allowance + 3, allowance + 7, true, 9},
		{b, allowance + 7, 0, true, 2},
		{a, allowance + 2, 0, true, 0},
	} {
		if err := budget.resize(tt.address, tt.from, tt.to); (err == nil) != tt.ok || budget.inUse() != tt.used {
			t.Errorf("from %d to %d of %v: %v, with %d in use; want %d", tt.from, tt.to, tt.address, err, budget.inUse(), tt.used)
		}
	}
	if len(budget.by) != 0 {
		t.Errorf("%d addresses are kept", len(budget.by))
	}
}
