package numbersfile

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"counting/server/spelling"
	"counting/server/store"
)

// countedDir is a data directory with the count to lines, which is in the page
// cache.
func countedDir(b *testing.B, lines int64) string {
	dir := b.TempDir()
	file, err := os.Create(filepath.Join(dir, Name))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	var text []byte
	for block := int64(0); firstOf(block) <= lines; block++ {
		text = appendBlock(text[:0], block)
		if _, err := file.Write(text); err != nil {
			b.Fatal(err)
		}
	}
	if err := file.Sync(); err != nil {
		b.Fatal(err)
	}
	return dir
}

func BenchmarkOpen(b *testing.B) {
	for _, lines := range []int64{2_000, 1_000_000, 10_000_000} {
		b.Run(fmt.Sprint(lines), func(b *testing.B) {
			dir := countedDir(b, lines)
			for b.Loop() {
				f := mustOpen(b, dir, Options{})
				if f.Recovery().Last < lines || f.Recovery().Bad != nil {
					b.Fatal(f.Recovery())
				}
				f.Close(b.Context())
			}
		})
	}
}

func BenchmarkOpenBrokenCount(b *testing.B) {
	const lines = 1_000_000
	dir := dirWith(b, "one\n"+counted(1, lines))
	for b.Loop() {
		f := mustOpen(b, dir, Options{})
		if f.Recovery().Last != lines {
			b.Fatal(f.Recovery())
		}
		f.Close(b.Context())
	}
}

// BenchmarkAppend measures the queue; only the last line waits for the disk.
func BenchmarkAppend(b *testing.B) {
	b.ReportAllocs()
	f := mustOpen(b, b.TempDir(), Options{})
	go f.Run(Callbacks{})
	for n := int64(1); b.Loop(); n++ {
		f.Append(n)
	}
	if err := f.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkAppendAndWait and BenchmarkWriteAndSync write one line at a time, with
// and without this package.
func BenchmarkAppendAndWait(b *testing.B) {
	b.ReportAllocs()
	f := mustOpen(b, b.TempDir(), Options{})
	written := make(chan int64)
	go f.Run(Callbacks{Callbacks: store.Callbacks{OnCommit: func(upTo int64, _ time.Duration) { written <- upTo }}})
	for n := int64(1); b.Loop(); n++ {
		f.Append(n)
		<-written
	}
}

func BenchmarkWriteAndSync(b *testing.B) {
	line := []byte(spelling.Spell(123_456) + "\n")
	file, err := os.Create(filepath.Join(b.TempDir(), Name))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	for b.Loop() {
		if _, err := file.Write(line); err != nil {
			b.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}
