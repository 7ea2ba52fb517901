package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"unicode"

	"counting/server/store"
)

// newLogger returns the logger for a -log-format and a -log-level, and its
// queue, which has to be closed.
func newLogger(format string, level slog.Level, w io.Writer) (*slog.Logger, *logQueue) {
	q := newLogQueue(w, func(w io.Writer) slog.Handler {
		if format == "json" {
			return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: escape})
		}
		return &textHandler{w: w, level: level}
	})
	return slog.New(q), q
}

// escape does to the strings of a JSON log what printable does. JSON itself
// escapes the control characters below 128 and leaves those above.
func escape(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindString {
		var b strings.Builder
		printable(&b, a.Value.String())
		a.Value = slog.StringValue(b.String())
	}
	return a
}

// gameKey is the key of the game that a line is about, unless it is the default
// one.
const gameKey = "game"

// gameLogger returns a logger for one game.
func gameLogger(log *slog.Logger, game string) *slog.Logger {
	if game == store.Default {
		return log
	}
	return slog.New(gameHandler{log.Handler(), game})
}

// gameHandler adds the game to each line. Only this says on which lines it stands:
// the queue's With does nothing.
type gameHandler struct {
	slog.Handler
	game string
}

func (h gameHandler) Handle(ctx context.Context, r slog.Record) error {
	r = r.Clone()
	r.AddAttrs(slog.String(gameKey, h.game))
	return h.Handler.Handle(ctx, r)
}

// attr returns an attribute of a record as text, or "".
func attr(r slog.Record, key string) (value string) {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == key {
			value = a.Value.String()
		}
		return value == ""
	})
	return value
}

// textHandler prints one line per event: the message alone, as the original
// prints it, after the name of its game if it has one, and after a warning or an
// error its fields. Nothing that a client sends can forge a line or a terminal
// escape. One goroutine may use it.
type textHandler struct {
	w     io.Writer
	level slog.Level
}

func (h *textHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level
}

func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	var line strings.Builder
	if game := attr(r, gameKey); game != "" {
		line.WriteString(game + ": ")
	}
	printable(&line, r.Message)
	if r.Level >= slog.LevelWarn {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key != gameKey {
				fmt.Fprintf(&line, " %s=%s", a.Key, strconv.Quote(a.Value.String()))
			}
			return true
		})
	}
	line.WriteByte('\n')
	_, err := io.WriteString(h.w, line.String())
	return err
}

func (h *textHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h *textHandler) WithGroup(string) slog.Handler      { return h }

// printable writes s with everything escaped that is not a character to see.
func printable(b *strings.Builder, s string) {
	if plain(s) {
		b.WriteString(s)
		return
	}
	for _, r := range s {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			b.WriteRune(r)
		} else {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
}

// plain tells whether s has nothing but printable characters of ASCII.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
