package engineio

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

func TestParsePayload(t *testing.T) {
	t.Parallel()
	text := func(data string) packet { return packet{data: data} }
	binary := func(data string) packet { return packet{data: data, binary: true} }
	for _, tt := range []struct {
		body  string
		limit int
		want  []packet
		err   string
	}{
		{body: ""},
		{body: "4a", want: []packet{text("4a")}},
		{body: "0\x1e9\x1e4", want: []packet{text("0"), text("9"), text("4")}},
		{body: "4a\x1e4b", limit: 2, want: []packet{text("4a"), text("4b")}},
		{body: "4a\x1e4b\x1e4c", limit: 2, err: "the payload has 3 packets, the limit is 2"},
		{body: "bAAE=\x1eb", want: []packet{binary("\x00\x01"), binary("")}},
		{body: "bA-A\nE\té=", want: []packet{binary("\x00\x01")}},
		{body: "b+/z0", want: []packet{binary("\xfb\xfc\xf4")}},
		{body: "bAAE", err: "not Base64"},
		{body: "4a\x1e", err: "an empty packet"},
		{body: "/", err: "a packet of type '/'"},
		{body: ":", err: "a packet of type ':'"},
		{body: "é", err: "a packet of type"},
		{body: "4\xff", err: "not UTF-8"},
		{body: "d=4a%1E4b%2B&x=y", want: []packet{text("4a"), text("4b+")}},
		{body: "d=", err: "an empty packet"},
		{body: "d=%", err: "the payload is not a form"},
	} {
		packets, err := parsePayload(tt.body, tt.limit)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: the error is %v, want %q", tt.body, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.body, err)
			continue
		}
		got := slices.Collect(packets)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q is %+v, want %+v", tt.body, got, tt.want)
		}
		for p := range packets { // it may be left
			if p != tt.want[0] {
				t.Errorf("%q begins with %+v", tt.body, p)
			}
			break
		}
		again, err := parsePayload(string(appendPayload(nil, got)), 0)
		if err != nil || !slices.Equal(slices.Collect(again), got) {
			t.Errorf("%q: what is put together is different, %v", tt.body, err)
		}
	}
}

// Of Base64, only the characters of its alphabet are read.
func TestTheAlphabetOfBase64(t *testing.T) {
	t.Parallel()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	all := make([]byte, 128)
	for i := range all {
		all[i] = byte(i)
	}
	text := strings.ReplaceAll(string(all), "=", "") // which ends it
	sorted := []byte(alphabet)
	slices.Sort(sorted)
	want, err := base64.StdEncoding.DecodeString(string(sorted))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := parsePacket("b" + text); err != nil || p.data != string(want) {
		t.Errorf("of all characters, %x is read, %v; want %x", p.data, err, want)
	}
}

// A queued packet is counted with all of its memory.
func TestTheCostOfAPacket(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "4x", strings.Repeat("x", 1000)} {
		if got, least := (packet{data: data}).cost(), int64(len(data))+int64(unsafe.Sizeof(packet{})); got < least {
			t.Errorf("a packet of %d bytes costs %d, it takes %d", len(data), got, least)
		}
	}
}
