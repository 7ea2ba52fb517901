package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"counting/server/room"
)

// The tests in this file compare the default mode with the faithful one. They differ
// only in these rows.

func count(p *peer, seat string, from, to int) {
	p.t.Helper()
	for n := from; n <= to; n += 2 {
		p.send(number(fmt.Sprint(n), seat, n))
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode         []string
		next1, next2 int
	}{
		{nil, 5, 4}, // three lines are in the file
		{[]string{"-faithful"}, 1, 2},
	} {
		t.Run(fmt.Sprint(tt.mode), func(t *testing.T) {
			t.Parallel()
			s := startServer(t, tt.mode...)
			a, b := joinTwo(t, s)
			count(a, "client1", 1, 3)
			count(b, "client2", 2, 2)
			b.expect("432[]")
			a.expect("431[]", "433[]")
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			s = startServerIn(t, s.data, tt.mode...)
			join(t, s, fmt.Sprintf(`%s,"last_number":%d}`, assigned1, tt.next1), joined)
			join(t, s, fmt.Sprintf(`%s,"last_number":%d}`, assigned2, tt.next2), started, joined)
		})
	}
}

func TestAThirdClientIsHeldUntilASeatFallsFree(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a, b := joinTwo(t, s)
	c := dial(t, s)
	c.expect("0{")
	c.send("40", number("1", "client1", 1)) // it has no seat to count for
	c.expect(`431[{"error":"the session has not joined the game"}]`)
	a.conn.Close()
	b.expect(stopped, started)
	c.expect(assigned1, started, joined)
}

func TestAThirdClientIsRefusedAfterFiveSecondsAndMayAskAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a, b := joinTwo(t, s)
	c := dial(t, s)
	c.expect("0{")
	c.send("40")
	began := time.Now()
	c.expect(`44{"message":"both seats are taken"}`)
	if took := time.Since(began); took < room.HoldTime-100*time.Millisecond {
		t.Errorf("refused after %v", took)
	}
	b.send("41") // leaves, and keeps its connection
	b.expect(stopped)
	a.expect(stopped)
	c.send("40")
	c.expect(assigned2, started, joined)
	a.expect(started)
}

// A client that had sent 9999 and left made the next clients of its seat count from
// 10001, so that the count never continued.
func TestWhatASessionCountedAheadIsForgottenWhenItEnds(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a, b := joinTwo(t, s)
	a.send(number("1", "client1", 9999))
	b.send(number("2", "client2", 2))
	b.expect("432[]")
	a.conn.Close()
	b.expect(stopped)
	a = join(t, s, assigned1+`,"last_number":5}`, started, joined) // 3 is in the file: 2 and the first message imply it
	b.expect(started)
	b.send(number("4", "client2", 4))
	b.expect("434[]")
	a.send(number("5", "client1", 5))
	a.expect("435[]")
}

func TestAFaithfulThirdClientIdles(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-faithful")
	a, b := joinTwo(t, s)
	c := join(t, s, joined)
	a.conn.Close()
	b.expect(stopped)
	c.expect(stopped)
	c.send(number("1", "client1", 41)) // it has no seat, and its numbers count
	c.expect("431[]")
}

func TestNumbersOfASeat(t *testing.T) {
	t.Parallel()
	play := func(t *testing.T, mode ...string) string {
		s := startServer(t, mode...)
		a, b := joinTwo(t, s)
		b.send(number("", "client2", 2), number("", "client2", 4), number("", "client2", 1.5), number("", "client1", 7))
		b.send(number("1", "client2", 2)) // the original acks it immediately
		if mode != nil {
			b.expect("431[]")
		}
		a.send(number("", "client1", 3), number("2", "client1", 3))
		a.expect("432[]")
		if mode == nil {
			b.expect("431[]")
			waitFor(t, "the line of 4, which has no ack", func() bool { return len(s.numbers(t)) >= 4 })
		}
		return strings.Join(s.numbers(t), ",")
	}
	t.Run("default", func(t *testing.T) {
		t.Parallel()
		if got, want := play(t), "one,two,three,four"; got != want {
			t.Errorf("numbers.txt has %s, want %s", got, want)
		}
	})
	t.Run("faithful", func(t *testing.T) {
		t.Parallel()
		if got, want := play(t, "-faithful"), "two,four,one point five,seven,two,three,three"; got != want {
			t.Errorf("numbers.txt has %s, want %s", got, want)
		}
	})
}

func TestAnOldFile(t *testing.T) {
	t.Parallel()
	const old = "one\ntwo\ntwo\nthree\nfive\ntor"
	for _, tt := range []struct {
		mode    []string
		first   string
		numbers string
		copies  int
	}{
		{nil, `"last_number":5}]`, "one,two,two,three,five,four", 1},
		{[]string{"-faithful"}, `"last_number":1}]`, "one,two,two,three,five,torfour", 0},
	} {
		t.Run(fmt.Sprint(tt.mode), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "numbers.txt"), []byte(old), 0o666); err != nil {
				t.Fatal(err)
			}
			s := startServerIn(t, dir, tt.mode...)
			join(t, s, assigned1+","+tt.first, joined)
			b := join(t, s, assigned2, started, joined)
			b.send(number("1", "client2", 4))
			b.expect("431[]")
			if got := strings.Join(s.numbers(t), ","); got != tt.numbers {
				t.Errorf("numbers.txt has %s, want %s", got, tt.numbers)
			}
			copies, _ := filepath.Glob(filepath.Join(dir, "numbers.txt.cut*"))
			if len(copies) != tt.copies {
				t.Errorf("copies of what was cut off: %v", copies)
			}
		})
	}
}

// The last row, the sync before the ack, is tested in package numbersfile.

func TestADeletedFileEndsTheServerAndTheNextStartIsReady(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a, b := joinTwo(t, s)
	if err := os.Remove(filepath.Join(s.data, "numbers.txt")); err != nil {
		t.Fatal(err)
	}
	a.send(number("1", "client1", 1))
	if packet, err := a.next(); err == nil {
		t.Errorf("%q received for a number that is not in the file", packet)
	}
	b.next()
	if err := s.stop(); err == nil || !strings.Contains(err.Error(), "numbers.txt was changed, replaced or deleted") {
		t.Errorf("the server ended with %v", err)
	}
	s = startServerIn(t, s.data)
	if status, text, _ := request(t, http.MethodGet, s.url+"/ready", nil); status != http.StatusOK {
		t.Errorf("after the restart /ready answers %d %q", status, text)
	}
}

// A client cannot forge a line of the log.
func TestTheLogCannotBeForged(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-faithful")
	p := join(t, s, assigned1, joined)
	p.send(number("1", `bob\nClient client1 disconnected.\u001b[31m`, 1), `42["number",{"client_id":"bob\r\nx"}]`, "42[\"\x1b[31m\n")
	p.expect("431[]")
	p.send(number("2", "client1", 1))
	p.expect("432[]")
	want := `Received one from bob\nClient client1 disconnected.\x1b[31m`
	waitFor(t, "the log to have "+want, func() bool { return strings.Contains(s.log.String(), want) })
	for line := range strings.Lines(s.log.String()) {
		if strings.HasPrefix(line, "Client client1 disc") || strings.HasPrefix(line, "x") || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x1b\r\n") {
			t.Errorf("forged: %q", line)
		}
	}
}
