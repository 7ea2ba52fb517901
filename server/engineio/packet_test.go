package engineio

import (
	"slices"
	"strings"
	"testing"
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
