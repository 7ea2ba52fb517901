package capture

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"strings"
	"testing"
)

// encode returns a masked frame, as a client sends it.
func encode(op byte, final, compressed bool, data []byte) []byte {
	head := op
	if final {
		head |= 0x80
	}
	if compressed {
		head |= 0x40
	}
	frame := []byte{head}
	switch n := len(data); {
	case n < 126:
		frame = append(frame, 0x80|byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 2, 3, 4}
	frame = append(frame, mask[:]...)
	for i, b := range data {
		frame = append(frame, b^mask[i%4])
	}
	return frame
}

// A deflater compresses messages that refer to those before them.
type deflater struct {
	out bytes.Buffer
	w   *flate.Writer
}

func newDeflater(t *testing.T) *deflater {
	t.Helper()
	d := &deflater{}
	w, err := flate.NewWriter(&d.out, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	d.w = w
	return d
}

func (d *deflater) message(text string) []byte {
	d.out.Reset()
	_, _ = io.WriteString(d.w, text)
	_ = d.w.Flush()
	return bytes.TrimSuffix(bytes.Clone(d.out.Bytes()), []byte("\x00\x00\xff\xff"))
}

func TestMessagesAreReadFromFrames(t *testing.T) {
	t.Parallel()
	long, longer := strings.Repeat("x", 300), strings.Repeat("y", 70_000)
	event := `42["number",{"client_id":"client1","number":1}]`
	fresh := func(text string) []byte { return newDeflater(t).message(text) }
	one := newDeflater(t)
	first, second := one.message(event), one.message(event)
	if len(second) >= len(first)/2 {
		t.Fatal("the second message does not refer to the first: nothing is tested")
	}

	tests := []struct {
		name     string
		takeover bool
		frames   [][]byte
		want     []string
	}{
		{"a_text", false, [][]byte{encode(1, true, false, []byte("40"))}, []string{"40"}},
		{"two_texts", false, [][]byte{encode(1, true, false, []byte("a")), encode(1, true, false, []byte("b"))}, []string{"a", "b"}},
		{"a_long_text_and_a_longer_one", false, [][]byte{encode(1, true, false, []byte(long)), encode(1, true, false, []byte(longer))}, []string{long, longer}},
		{"a_text_in_pieces_with_a_ping_between_them", false, [][]byte{
			encode(1, false, false, []byte("4")), encode(9, true, false, []byte("?")), encode(0, true, false, []byte("0")),
		}, []string{"40"}},
		{"compressed", false, [][]byte{encode(1, true, true, fresh(event)), encode(1, true, true, fresh(event))}, []string{event, event}},
		{"compressed_with_context_takeover", true, [][]byte{encode(1, true, true, first), encode(1, true, true, second)}, []string{event, event}},
		{"compressed_in_pieces", false, [][]byte{
			encode(1, false, true, fresh(event)[:5]), encode(0, true, false, fresh(event)[5:]),
		}, []string{event}},
		{"compressed_and_plain_by_turns", true, [][]byte{
			encode(1, true, true, first), encode(1, true, false, []byte("3")), encode(1, true, true, second),
		}, []string{event, "3", event}},
		{"nothing_compressed", true, [][]byte{encode(1, true, true, fresh(""))}, []string{""}},
		{"a_close", false, [][]byte{encode(1, true, false, []byte("41")), encode(8, true, false, []byte{3, 232})}, []string{"41", "close"}},
		{"a_frame_cut_off", false, [][]byte{encode(1, true, false, []byte("41")), encode(1, true, false, []byte("42"))[:7]}, []string{"41"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := messages{in: bytes.NewReader(bytes.Join(tt.frames, nil)), takeover: tt.takeover}
			for i, want := range tt.want {
				msg, err := m.next()
				if err != nil {
					t.Fatalf("message %d: %v", i, err)
				}
				got := string(msg.data)
				if msg.close {
					got = "close"
				}
				if got != want {
					t.Errorf("message %d: %q, want %q", i, got, want)
				}
			}
			if msg, err := m.next(); err == nil {
				t.Errorf("one message too many: %q", msg.data)
			}
		})
	}
}

func TestBinaryMessageIsNotText(t *testing.T) {
	t.Parallel()
	m := messages{in: bytes.NewReader(encode(2, true, false, []byte{1, 2, 255}))}
	msg, err := m.next()
	if err != nil || !msg.binary || !bytes.Equal(msg.data, []byte{1, 2, 255}) {
		t.Errorf("%+v, %v", msg, err)
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(encode(1, true, false, []byte("40")), true)
	f.Add(encode(1, true, true, []byte{0}), false)
	f.Add(encode(8, true, false, nil), false)
	f.Fuzz(func(_ *testing.T, data []byte, takeover bool) {
		m := messages{in: bytes.NewReader(data), takeover: takeover}
		for {
			if _, err := m.next(); err != nil {
				return
			}
		}
	})
}
