package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"counting/compat-tests/lockedbuffer"
)

// A log that nobody read blocked the count.
func TestALogThatNobodyReadsIsDroppedAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		logger, q := newLogger("text", slog.LevelInfo, w)
		const lines = 3 * maxLogLines
		for n := range lines {
			logger.Info(fmt.Sprintf("Received %d from client1", n), "number", n)
		}
		synctest.Wait() // one write blocks
		dropped := q.Dropped()
		if dropped < lines-2*maxLogLines || dropped > lines-maxLogLines {
			t.Errorf("%d of %d lines were dropped, with room for %d", dropped, lines, maxLogLines)
		}
		out := new(lockedbuffer.Buffer)
		go io.Copy(out, r)
		time.Sleep(time.Second)
		q.Close(t.Context())
		text := out.String()
		if got := strings.Count(text, "Received"); int64(got) != lines-dropped {
			t.Errorf("%d lines were written, want %d", got, lines-dropped)
		}
		said := 0
		for _, m := range regexp.MustCompile(`(?m)^([\d,]+) log lines were dropped`).FindAllStringSubmatch(text, -1) {
			n, _ := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
			said += n
		}
		if int64(said) != dropped {
			t.Errorf("the log says that %d lines were dropped, want %d", said, dropped)
		}
		w.Close()
	})
}

func TestClosingTheLogDoesNotWaitForWhoDoesNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		logger, q := newLogger("json", slog.LevelInfo, w)
		logger.Info("hello")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		q.Close(ctx)
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v", took)
		}
		logger.Info("too late")
		r.Close() // ends the goroutine
	})
}

// One connection that sent broken packets filled the disk at 5.5 MB/s.
func TestLogLinesHaveARate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := new(lockedbuffer.Buffer)
		logger, q := newLogger("text", slog.LevelInfo, out)
		for n := range 4711 + maxLinesPerSession {
			logger.Warn("broken packet", "session", "A")
			logger.Debug("not logged at all", "session", "A")
			logger.Info("Received one from client1", "session", "B", "number", n) // each has its line
			if n%100 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		logger.Warn("another session", "session", "B")
		synctest.Wait()
		if got := strings.Count(out.String(), "broken packet"); got != maxLinesPerSession {
			t.Errorf("%d lines about one session, want %d", got, maxLinesPerSession)
		}
		time.Sleep(2 * logWindow)
		synctest.Wait()
		for _, want := range []string{"\nanother session session=\"B\"\n", "\nand 4,711 more lines about a session session=\"A\"\n"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the log lacks %q", want)
			}
		}

		// Many sessions with a few lines each are limited, too.
		before := len(out.String())
		for n := range 10_000 {
			logger.Warn("broken packet", "session", fmt.Sprint(n))
			logger.Info("Waiting for another client to connect...")
		}
		logger.Error("what ends the server")
		time.Sleep(2 * logWindow)
		synctest.Wait()
		text := out.String()[before:]
		if got := strings.Count(text, "\n"); got != maxLinesInAll+2 {
			t.Errorf("%d lines, want %d, an error and how many more there were", got, maxLinesInAll)
		}
		if !strings.Contains(text, "\nand 19,800 more lines\n") || !strings.Contains(text, "what ends the server") {
			t.Errorf("the log says\n%s", text[len(text)-200:])
		}
		q.Close(t.Context())
	})
}

func TestLinesThatAreNotLoggedAreCountedWithTheirGame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := new(lockedbuffer.Buffer)
		logger, q := newLogger("text", slog.LevelInfo, out)
		blue := gameLogger(logger, "blue")
		for range maxLinesPerSession + 3 {
			blue.Warn("refused", "session", "A")
			blue.Error("cannot be written")
		}
		slog.New(groupHandler{logger.Handler()}).Warn("broken packet", "session", "B", "group", "red")
		time.Sleep(2 * logWindow)
		synctest.Wait()
		for _, want := range []string{`blue: and 3 more lines about a session session="A"`, "blue: and 3 more lines about this game", `red: broken packet session="B"`} {
			if !strings.Contains(out.String(), want+"\n") {
				t.Errorf("the log lacks %q:\n%s", want, out)
			}
		}
		q.Close(t.Context())
	})
}

func TestBrokenPacketsDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	p := join(t, s, assigned1, joined)
	before := len(s.log.String())
	const packets = 2000
	for range packets {
		p.send("4x")
	}
	p.send(number("7", "client1", 1)) // it lives on
	p.expect("437[]")
	waitFor(t, "its number to be logged", func() bool { return strings.Contains(s.log.String(), "Received one from client1") })
	text := s.log.String()[before:]
	if lines := strings.Count(text, "\n"); lines < 2 || lines > maxLinesInAll {
		t.Errorf("%d packets are %d lines:\n%.1000s", packets, lines, text)
	}
}

// The numbers for which the log has no lines are counted in it also when the server ends
// because of an error.
func TestTheLogCountsTheLastNumbersAfterAnError(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a, b := joinTwo(t, s)
	const last = 8_000 // more than the log has lines for in a second, on most machines
	for n := 1; n <= last; n += 2 {
		a.send(number("", "client1", n))
		b.send(number("", "client2", n+1))
		if n%1000 == 999 { // before the queue of the log is full
			waitFor(t, "the numbers to be written", func() bool { return len(s.numbers(t)) == n+1 })
		}
	}
	if err := os.Remove(filepath.Join(s.data, "numbers.txt")); err != nil {
		t.Fatal(err)
	}
	a.send(number("", "client1", last+1))
	if _, err := a.next(); err == nil {
		t.Error("the server goes on without its file")
	}
	if err := s.stop(); err == nil {
		t.Error("the server has ended without an error")
	}
	log := s.log.String()
	logged := strings.Count(log, " from client")
	for _, line := range regexp.MustCompile(`without lines: (\d+)|([\d,]+) log lines were dropped`).FindAllStringSubmatch(log, -1) {
		n, _ := strconv.Atoi(strings.ReplaceAll(line[1]+line[2], ",", ""))
		logged += n
	}
	if logged < last-1000 { // on a slow machine, the last lines may be lost
		t.Errorf("%d numbers are in the log, of %d", logged, last+1)
	}
}
