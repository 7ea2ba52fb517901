package live

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"counting/server/game"
	"counting/server/protocol"
	"counting/server/spelling"
)

const patience = time.Minute

// count is a numbers.txt, and the feed of a server that has just opened it.
type count struct {
	*Feed
	*Hub
	t    testing.TB
	path string
	url  string
}

func start(t testing.TB, text string, o Options) *count {
	t.Helper()
	return startWith(t, text, o, HubOptions{})
}

func startWith(t testing.TB, text string, o Options, h HubOptions) *count {
	t.Helper()
	c := &count{t: t, path: filepath.Join(t.TempDir(), "numbers.txt")}
	if err := os.WriteFile(c.path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	o.Path = c.path
	c.Hub = NewHub(h)
	var err error
	if c.Feed, err = c.Open(o); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/events", c.ServeEvents)
	mux.HandleFunc("/state", c.ServeState)
	mux.HandleFunc("/numbers.txt", c.ServeFile)
	server := httptest.NewServer(mux)
	c.url = server.URL
	go c.Run()
	t.Cleanup(func() {
		c.end()
		server.CloseClientConnections()
		server.Close()
	})
	return c
}

// end closes the feed and waits until its history is saved.
func (c *count) end() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.Hub.Close(ctx)
	if ctx.Err() != nil {
		c.t.Error("the feed does not end")
	}
}

// prefix returns the text of a file that holds 1 to n.
func prefix(n int64) string {
	var b strings.Builder
	for i := int64(1); i <= n; i++ {
		b.WriteString(spelling.Spell(i) + "\n")
	}
	return b.String()
}

// write appends the numbers to the file and notifies the feed.
func (c *count) write(numbers ...float64) {
	c.t.Helper()
	file, err := os.OpenFile(c.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	defer file.Close()
	for _, n := range numbers {
		text, _ := spelling.SpellFloat(n)
		fmt.Fprintln(file, text)
	}
	c.Written(numbers, 0)
}

// stream is an open stream.
type stream struct {
	t      testing.TB
	body   *bufio.Reader
	cancel func()
	timed  int64 // lines that had a time
}

func (c *count) open(query, lastEventID string) *stream {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	c.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/events"+query, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		c.t.Fatalf("the stream answers %s, %s", response.Status, response.Header.Get("Content-Type"))
	}
	return &stream{c.t, bufio.NewReader(response.Body), cancel, 0}
}

// next returns the next line, happening or state.
func (s *stream) next() (name, id, data string) {
	s.t.Helper()
	for {
		line, err := s.body.ReadString('\n')
		if err != nil {
			s.t.Fatalf("the stream ended: %v", err)
		}
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch key {
		case "event":
			name = value
		case "id":
			id = value
		case "data":
			data = value
		case "":
			if name == "line" || name == "happening" || name == "state" {
				return name, id, data
			}
			name, id, data = "", "", ""
		}
	}
}

// lines expects the lines from one number to another, all with a valid id.
func (s *stream) lines(from, to int64) {
	s.t.Helper()
	for n := from; n <= to; n++ {
		name, id, data := s.next()
		var line Line
		json.Unmarshal([]byte(data), &line)
		if name != "line" || id != fmt.Sprint(n) || line.Line != n || line.Number != n || line.Text != spelling.Spell(n) || line.Seat != protocol.SeatOf(n).String() {
			s.t.Fatalf("event %s %s %s came in place of line %d", name, id, data, n)
		}
		if line.At != nil {
			s.timed++
		}
	}
}

// state expects a snapshot.
func (s *stream) state() State {
	s.t.Helper()
	name, _, data := s.next()
	var state State
	if err := json.Unmarshal([]byte(data), &state); name != "state" || err != nil {
		s.t.Fatalf("event %s %s came in place of the state: %v", name, data, err)
	}
	return state
}

func TestResumingLeavesNoGap(t *testing.T) {
	t.Parallel()
	const inFile = 5*block + 17
	c := start(t, prefix(inFile), Options{})
	c.write(inFile+1, inFile+2)
	const last = inFile + 2
	tests := []struct {
		name, query, lastEventID string
		from                     int64
	}{
		{"without_a_place_it_starts_with_the_next_line", "", "", last + 1},
		{"from_the_start", "?after=0", "", 1},
		{"from_the_middle_of_a_block", "?after=300", "", 301},
		{"from_the_end_of_a_block", "?after=512", "", 513},
		{"from_the_last_line_of_the_file", fmt.Sprintf("?after=%d", inFile), "", inFile + 1},
		{"from_the_ring", fmt.Sprintf("?after=%d", inFile+1), "", inFile + 2},
		{"from_the_end", fmt.Sprintf("?after=%d", last), "", last + 1},
		{"last_event_id_goes_before_the_parameter", "?after=1", "1000", 1001},
	}
	var streams []*stream
	for _, tt := range tests {
		s := c.open(tt.query, tt.lastEventID)
		s.lines(tt.from, last)
		if s.timed != last-max(tt.from-1, inFile) {
			t.Errorf("%s: %d lines name their time", tt.name, s.timed)
		}
		if state := s.state(); state.Lines != last || state.Last.Number != last {
			t.Errorf("%s: the state is %+v", tt.name, state)
		}
		streams = append(streams, s)
	}
	c.write(last+1, last+2, last+3)
	for _, s := range streams {
		s.lines(last+1, last+3)
	}
}

func TestTheRingAndTheFileMeet(t *testing.T) {
	t.Parallel()
	c := start(t, "", Options{})
	const last = ringSize + 700 // the first are no longer in the ring
	for n := int64(1); n <= last; n++ {
		c.write(float64(n))
	}
	s := c.open("?after=0", "")
	s.lines(1, last)
	s.state()
	c.write(last + 1)
	s.lines(last+1, last+1)
}

// The file of an unbroken count is not read: 10 million lines took half a second.
func TestAnUnbrokenCountIsKnownWithoutReadingIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "numbers.txt")
	if err := os.WriteFile(path, []byte(prefix(3000)), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, at := range [][2]int64{{0, 1}, {0, 3000}, {255, 3000}, {256, 257}, {1998, 2002}, {2999, 3000}} {
		want, err := newLines(path, false, nil).read(at[0], at[1])
		if err != nil {
			t.Fatal(err)
		}
		got, err := newLines("does not exist", true, nil).read(at[0], at[1])
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("after %d up to %d: %v; want -, got +\n%s", at[0], at[1], err, diff)
		}
	}
	feed, err := NewHub(HubOptions{}).Open(Options{Path: "does not exist", Count: 3000, Unbroken: true})
	if err != nil {
		t.Fatal(err)
	}
	if s := feed.snapshot(); s.Lines != 3000 || s.Last.Text != "three thousand" {
		t.Errorf("%d lines, the last %v", s.Lines, s.Last)
	}
}

func TestAPlaceThatCannotBeIsToldSo(t *testing.T) {
	t.Parallel()
	c := start(t, prefix(3), Options{})
	for value, want := range map[string]string{
		"x":                    `Last-Event-ID must be the number of a line of numbers.txt, or 0 for the start; it is "x"`,
		"-1":                   `it is "-1"`,
		"1.5":                  `it is "1.5"`,
		"99999999999999999999": `it is "99999999999999999999"`,
		"4":                    "Last-Event-ID is 4, but numbers.txt has 3 lines; ask /state and start again",
		"9223372036854775807":  "Last-Event-ID is 9223372036854775807, but",
	} {
		r, _ := http.NewRequest(http.MethodGet, c.url+"/events", nil)
		r.Header.Set("Last-Event-ID", value)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s %s", value, response.Status, body)
		}
	}
}

// A file of the original is not an unbroken count, and may contain any lines.
func TestAnOldFileIsShownAsItIs(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*maxLine)
	c := start(t, "one\ntwo\r\ntwo\nminus seven\n\x1b[31m\"evil\n"+long+"\n", Options{})
	c.write(3)
	s := c.open("?after=0", "")
	want := []Line{
		{Line: 1, Text: "one", Number: 1, Seat: "client1"},
		{Line: 2, Text: "two", Number: 2, Seat: "client2"},
		{Line: 3, Text: "two", Number: 2, Seat: "client2"},
		{Line: 4, Text: "minus seven"},
		{Line: 5, Text: "\x1b[31m\"evil"},
		{Line: 6, Text: long[:maxLine]},
		{Line: 7, Text: "three", Number: 3, Seat: "client1"},
	}
	for _, w := range want {
		_, _, data := s.next()
		var got Line
		if err := json.Unmarshal([]byte(data), &got); err != nil {
			t.Fatal(err)
		}
		got.At = nil
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("want -, got +\n%s", diff)
		}
	}
}

func TestWhatHappensIsStreamed(t *testing.T) {
	t.Parallel()
	c := start(t, "one\n", Options{Count: 1, LastAt: time.Now().Add(-time.Minute), Goal: 2000, Version: "v1"})
	s := c.open("", "")
	state := s.state()
	if state.Goal != 2000 || state.Version != "v1" || state.Last.Text != "one" || state.Last.At == nil || state.Running || len(state.Seats) != 2 {
		t.Errorf("the state is %+v", state)
	}
	expect := func(what Type, seat string) Activity {
		t.Helper()
		name, id, data := s.next()
		var h Activity
		json.Unmarshal([]byte(data), &h)
		if name != "happening" || id != "" || h.Type != what || h.Seat != seat || h.At.IsZero() {
			t.Fatalf("event %s %s %s came in place of %s %s", name, id, data, what, seat)
		}
		return h
	}
	c.Happened(game.Seated{Session: "A", Seat: protocol.Client1})
	c.Happened(game.Seated{Session: "B", Seat: protocol.Client2})
	expect(SeatTaken, "client1")
	expect(SeatTaken, "client2")
	expect(GameStarted, "")
	c.write(2)
	if h := expect(CountResumed, ""); h.Seconds < 60 || h.Seconds > 70 {
		t.Errorf("the server's start is said to have interrupted the count for %v s", h.Seconds)
	}
	s.lines(2, 2)
	c.write(3)
	s.lines(3, 3)
	c.Happened(game.Full{Session: "C"})
	expect(BothSeatsTaken, "")
	c.Happened(game.Left{Session: "A", Seat: protocol.Client1})
	c.Happened(game.Alone{})
	expect(SeatLeft, "client1")
	expect(GameStopped, "")
	c.Happened(game.Seated{Session: "C", Seat: protocol.Client1})
	expect(SeatTaken, "client1")
	expect(GameStarted, "")
	c.write(4)
	expect(CountResumed, "")
	s.lines(4, 4)
	c.Storage(io.ErrShortWrite)
	expect(StorageFailing, "")
	c.Storage(nil)
	expect(StorageRestored, "")

	response, err := http.Get(c.url + "/state")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&state); err != nil {
		t.Fatal(err)
	}
	if state.Lines != 4 || !state.Running || state.Storage != nil || !state.Seats[0].Taken || len(state.Activities) != 13 {
		t.Errorf("the state is %+v", state)
	}
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}
