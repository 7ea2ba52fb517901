package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"

	"counting/compat-tests/lockedbuffer"
	"counting/server/live"
	"counting/server/metrics"
	"counting/server/numbersfile"
	"counting/server/store"
)

// gameBytes bounds the memory of an open game without its sessions and readers; 11 KB
// were measured.
const gameBytes = 40 << 10

// An open game without readers uses little memory. This test is not parallel, since it
// measures the memory of the whole process.
func TestMemoryOfAGame(t *testing.T) {
	const count = 200
	c, err := parseConfig([]string{"-data", t.TempDir()}, noEnv, new(lockedbuffer.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := numbersfile.OpenShared(c.data, 0, store.Elsewhere{Owner: "test"}, numbersfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	<-dir.Owned()
	t.Cleanup(func() { dir.Close(context.Background()) })
	hub := live.NewHub(live.HubOptions{})
	go hub.Run()
	t.Cleanup(func() { hub.Close(context.Background()) })
	games := newGames(c, dir, nil, hub, metrics.New("test"), slog.New(slog.DiscardHandler))
	if err := games.keepMain(t.Context()); err != nil {
		t.Fatal(err)
	}
	used := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := used()
	for i := range count {
		if _, _, err := games.acquire(t.Context(), fmt.Sprint(i), true); err != nil {
			t.Fatal(err)
		}
	}
	each := (used() - before) / count
	t.Logf("an open game has %d bytes", each)
	if each > gameBytes {
		t.Errorf("an open game has %d bytes, want at most %d", each, gameBytes)
	}
	games.Close()
}
