// Package oldfiles tests the Go server on numbers.txt files as the original leaves them.
// Each file in testdata is named after its fault.
package oldfiles

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"counting/compat-tests/harness"
	"counting/server/protocol"

	"github.com/gorilla/websocket"
)

func TestMain(m *testing.M) { harness.Main(m) }

// An oldFile is a file in testdata, and what the server does with it: it keeps the file
// except for an incomplete last line, and continues after the largest k for which all of
// 1…k are in it.
type oldFile struct {
	name string
	text string // if it is not in testdata
	last int64  // k
	log  string // what the log says of it after k
	tail string // what is cut off the end
	next int64  // k after a restart, if the lines after a gap now count
}

var oldFiles = []oldFile{
	{name: "empty"},
	{name: "unbroken", last: 21},
	{name: "duplicates", last: 5, log: `line 4 is "two", not "four"`},
	{name: "gaps", last: 3, log: `line 4 is "five", not "four"`, next: 6},
	{name: "cancelling-duplicate-and-gap", last: 2, log: `line 3 is "two", not "three"`, next: 6},
	{name: "restarts", last: 30, log: `line 31 is "one", not "thirty-one"`},
	{name: "out-of-order", last: 8, log: `line 3 is "four", not "three"`},
	{name: "started-in-the-middle", log: `line 1 is "twenty-four", not "one"`},
	{name: "odd-numbers", last: 3, log: `line 2 is "one point five", not "two"`},
	{name: "crlf", last: 6, log: `line 1 is "one\r", not "one"`},
	{name: "glued-line", last: 3, log: `line 4 is "fofive", not "four"`, next: 7},
	{name: "torn-last-line", last: 9, tail: "te"},
	{name: "missing-last-newline", last: 9, tail: "ten"},
	{name: "zero-bytes", last: 12, tail: strings.Repeat("\x00", 37)},
	{name: "restarts-and-torn-last-line", last: 7, log: `line 8 is "one", not "eight"`, tail: "fou"},
	{name: "100000-lines", text: harness.Counted(1, 100_000), last: 100_000},
	{name: "100000-lines-after-a-duplicate", text: "one\n" + harness.Counted(1, 100_000), last: 100_000, log: `line 2 is "one", not "two"`},
}

func TestTheServerGoesOnFromAnOldFile(t *testing.T) {
	t.Parallel()
	for _, old := range oldFiles {
		t.Run(old.name, func(t *testing.T) {
			t.Parallel()
			text := old.read(t)
			dir := t.TempDir()
			path := filepath.Join(dir, "numbers.txt")
			if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
			s := harness.GoServer(t, "-data", dir)
			kept, cut := strings.CutSuffix(text, old.tail)
			if !cut {
				t.Fatalf("the fixture does not end in %q", old.tail)
			}
			expectFile(t, path, kept)
			expectOpened(t, s, old.opened(path))
			expectCopies(t, path, old.tail)

			first, second := join(t, s), join(t, s)
			counters := map[protocol.Seat]*seatedClient{first.seat: first, second.seat: second}
			for seat, c := range counters {
				want := old.last + 1
				if protocol.SeatOf(want) != seat {
					want++
				}
				if c.next != want {
					t.Errorf("%s must send %d next, want %d", seat, c.next, want)
				}
			}
			for n := old.last + 1; n <= old.last+2; n++ {
				counters[protocol.SeatOf(n)].count(n)
			}
			expectFile(t, path, kept+harness.Counted(old.last+1, old.last+2))

			s.Kill()
			again := oldFile{last: max(old.next, old.last+2), log: old.log}
			expectOpened(t, harness.GoServer(t, "-data", dir), again.opened(path))
			expectFile(t, path, kept+harness.Counted(old.last+1, old.last+2))
		})
	}
}

// Every file in testdata is in the table.
func TestEveryFixtureIsUsed(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, old := range oldFiles {
		used[filepath.Join("testdata", old.name+".txt")] = true
	}
	for _, name := range names {
		if !used[name] {
			t.Errorf("%s is not used", name)
		}
	}
}

func (old oldFile) read(t *testing.T) string {
	t.Helper()
	if old.text != "" {
		return old.text
	}
	text, err := os.ReadFile(filepath.Join("testdata", old.name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// opened returns what the log must say about the file.
func (old oldFile) opened(path string) (parts []string) {
	if old.last > 0 {
		parts = append(parts, fmt.Sprintf("the numbers up to %d are in it", old.last))
	}
	if old.log != "" {
		parts = append(parts, "it is not an unbroken count: "+old.log+"; it is kept as it is")
	}
	if old.tail != "" {
		parts = append(parts, fmt.Sprintf("%d bytes after the last complete line were cut off, a copy is in %s.cut-1", len(old.tail), path))
	}
	return parts
}

func expectFile(t *testing.T, path, want string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); got != want {
		same := 0
		for same < min(len(got), len(want)) && got[same] == want[same] {
			same++
		}
		t.Errorf("numbers.txt differs from byte %d on: it has %.80q, want %.80q", same, got[same:], want[same:])
	}
}

// expectOpened checks that the log's line about the file has these parts, and no other
// complaints.
func expectOpened(t *testing.T, s *harness.Server, parts []string) {
	t.Helper()
	_, line, _ := strings.Cut(s.Output(), "Opened numbers.txt: ")
	line, _, _ = strings.Cut(line, "\n")
	for _, part := range parts {
		if !strings.Contains(line, part) {
			t.Errorf("the log says %q of the file, want in it: %s", line, part)
		}
	}
	all := strings.Join(parts, "; ")
	for _, complaint := range []string{"not an unbroken count", "cut off"} {
		if strings.Contains(line, complaint) && !strings.Contains(all, complaint) {
			t.Errorf("the log says %q of the file, without a reason", line)
		}
	}
}

// expectCopies checks that there is one copy of what was cut off, or none.
func expectCopies(t *testing.T, path, tail string) {
	t.Helper()
	copies, err := filepath.Glob(path + ".*")
	if err != nil {
		t.Fatal(err)
	}
	if tail == "" && len(copies) == 0 {
		return
	}
	if len(copies) != 1 || tail == "" {
		t.Fatalf("next to the file there are %q, for a tail of %d bytes", copies, len(tail))
	}
	expectFile(t, copies[0], tail)
}

// A seatedClient is a client with a seat, over a WebSocket.
type seatedClient struct {
	t    *testing.T
	conn *websocket.Conn
	seat protocol.Seat
	next int64 // the number that it must send next
}

func join(t *testing.T, s *harness.Server) *seatedClient {
	t.Helper()
	c := &seatedClient{t: t, conn: harness.DialSession(t, s.URL, "")}
	c.send("40")
	for packet := ""; !strings.HasPrefix(packet, "40"); packet = c.receive() {
		var id int
		if _, err := fmt.Sscanf(packet, `42["client_assigned",{"client_id":"client%d","last_number":%d}]`, &id, &c.next); err == nil {
			c.seat = protocol.Seat(id)
		}
	}
	if c.seat == protocol.NoSeat {
		t.Fatal("the client was not assigned a seat")
	}
	return c
}

// count sends a number and waits for its ack, after which it is in the file.
func (c *seatedClient) count(n int64) {
	c.t.Helper()
	c.send(fmt.Sprintf(`42%d["number",{"client_id":"%s","number":%d}]`, n, c.seat, n))
	want := fmt.Sprintf("43%d[]", n)
	for packet := ""; packet != want; packet = c.receive() {
		if strings.HasPrefix(packet, "43") {
			c.t.Fatalf("received %s, want %s", packet, want)
		}
	}
}

func (c *seatedClient) send(packet string) {
	c.t.Helper()
	if err := c.conn.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
		c.t.Fatalf("send %s: %v", packet, err)
	}
}

func (c *seatedClient) receive() string {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	_, packet, err := c.conn.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	return string(packet)
}
