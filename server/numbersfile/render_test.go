package numbersfile

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

// The reader returns the bytes of the blocks that files are compared with.
func TestReaderOfACount(t *testing.T) {
	t.Parallel()
	var all []byte
	for block := range int64(4) {
		all = appendBlock(all, block)
	}
	for _, last := range []int64{0, 1, 9, 998, 999, 1000, 1001, 1999, 2000, 3456} {
		want := all
		for i := int64(0); i < last; i++ {
			want = want[bytes.IndexByte(want, '\n')+1:]
		}
		want = all[:len(all)-len(want)]
		if err := iotest.TestReader(NewReader(last), want); err != nil {
			t.Errorf("up to %d: %v", last, err)
		}
		if size, err := NewReader(last).Seek(0, io.SeekEnd); err != nil || size != int64(len(want)) {
			t.Errorf("up to %d there are %d bytes, %v, want %d", last, size, err, len(want))
		}
	}
}

func TestReaderSeeks(t *testing.T) {
	t.Parallel()
	const last = 2500
	all, err := io.ReadAll(NewReader(last))
	if err != nil {
		t.Fatal(err)
	}
	positions := []int{len(all), 0, len(all) + 7, 3}
	for at := range all {
		if at%613 == 0 || all[at] == '\n' { // each line's end, and with the next byte each beginning
			positions = append(positions, at, at+1)
		}
	}
	r := NewReader(last)
	for _, at := range positions {
		if got, err := r.Seek(int64(at), io.SeekStart); err != nil || got != int64(at) {
			t.Fatalf("seek to %d: %d, %v", at, got, err)
		}
		want := all[min(at, len(all)):min(at+100, len(all))]
		got, err := io.ReadAll(io.LimitReader(r, 100))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("at %d is %q, %v", at, got, err)
		}
	}
}
