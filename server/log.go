package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"unicode"
	"unicode/utf8"

	"counting/server/store"
)

// newLogger returns a logger for a -log-format and a -log-level, and its queue, which
// the caller must Close.
func newLogger(format string, level slog.Level, w io.Writer) (*slog.Logger, *logQueue) {
	q := newLogQueue(w, func(w io.Writer) slog.Handler {
		if format == "json" {
			return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: escape})
		}
		return &textHandler{w: w, level: level}
	})
	return slog.New(q), q
}

// escape applies appendPrintable to the strings of a JSON log. JSON itself escapes only the
// control characters below 128.
func escape(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindString {
		a.Value = slog.StringValue(string(appendPrintable(nil, a.Value.String())))
	}
	return a
}

// gameKey is the key of a line's game, unless that is the default one.
const gameKey = "game"

// gameLogger returns a logger for one game.
func gameLogger(log *slog.Logger, game string) *slog.Logger {
	if game == store.Default {
		return log
	}
	return slog.New(gameHandler{log.Handler(), game})
}

// gameHandler adds the game to each line. The queue's WithAttrs does nothing, so it
// cannot be used for that.
type gameHandler struct {
	slog.Handler
	game string
}

func (h gameHandler) Handle(ctx context.Context, r slog.Record) error {
	r = r.Clone()
	r.AddAttrs(slog.String(gameKey, h.game))
	return h.Handler.Handle(ctx, r)
}

// groupHandler is for the layers that know groups of sessions and no games: it logs the
// attribute "group" as the game.
type groupHandler struct{ slog.Handler }

func (h groupHandler) Handle(ctx context.Context, r slog.Record) error {
	named := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		switch {
		case a.Key != "group":
			named.AddAttrs(a)
		case a.Value.String() != store.Default:
			named.AddAttrs(slog.String(gameKey, a.Value.String()))
		}
		return true
	})
	return h.Handler.Handle(ctx, named)
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

// textHandler prints one line per event: the name of the game unless it is the default
// one, the message as the original prints it, and for warnings and errors the fields.
// Clients cannot forge a line or a terminal escape. It is not safe for concurrent use.
type textHandler struct {
	w     io.Writer
	level slog.Level
	line  []byte
}

func (h *textHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level
}

func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	h.line = h.line[:0]
	if game := attr(r, gameKey); game != "" {
		h.line = append(h.line, game+": "...)
	}
	h.line = appendPrintable(h.line, r.Message)
	if r.Level >= slog.LevelWarn {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key != gameKey {
				h.line = fmt.Appendf(h.line, " %s=%q", a.Key, a.Value.String())
			}
			return true
		})
	}
	h.line = append(h.line, '\n')
	_, err := h.w.Write(h.line)
	return err
}

func (h *textHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h *textHandler) WithGroup(string) slog.Handler      { return h }

// appendPrintable appends s, and escapes all characters that are not printable.
func appendPrintable(b []byte, s string) []byte {
	if plain(s) {
		return append(b, s...)
	}
	for _, r := range s {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			b = utf8.AppendRune(b, r)
		} else {
			quoted := strconv.QuoteRuneToASCII(r)
			b = append(b, quoted[1:len(quoted)-1]...)
		}
	}
	return b
}

// plain reports whether s consists of printable ASCII characters.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
