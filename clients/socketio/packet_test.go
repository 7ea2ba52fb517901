package socketio

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	raw := func(texts ...string) (args []json.RawMessage) {
		args = []json.RawMessage{}
		for _, text := range texts {
			args = append(args, json.RawMessage(text))
		}
		return args
	}
	tests := []struct {
		in   string
		want Packet
	}{
		{`0{"sid":"x"}`, Packet{Type: Connect}},
		{`0/,{"sid":"x"}`, Packet{Type: Connect}},
		{`1`, Packet{Type: Disconnect}},
		{`2["start_game"]`, Packet{Type: Event, Name: "start_game", Args: raw()}},
		{`27["n",{"a":1},null]`, Packet{Type: Event, Name: "n", Args: raw(`{"a":1}`, `null`)}},
		{`357[]`, Packet{Type: Ack, ID: 57, Args: raw()}},
		{`30[{"error":"no"}]`, Packet{Type: Ack, Args: raw(`{"error":"no"}`)}},
		{`4{"message":"no"}`, Packet{Type: ConnectError, Message: "no"}},
		{`4"no"`, Packet{Type: ConnectError, Message: "no"}},
		{`4`, Packet{Type: ConnectError, Message: "the server refused the connection"}},
	}
	for _, tt := range tests {
		got, err := parse(tt.in)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v; want -, got +\n%s", tt.in, err, diff)
		}
	}
	for _, bad := range []string{"", "x", "0", "0[]", "2", "2[", "2[]", "2[5]", `2[""]`, `2"x"`, "2{}", "2null", "3", "3[]",
		"31", "31{}", "399999999999999999999[]", "5", `51-["x"]`} {
		if got, err := parse(bad); err == nil {
			t.Errorf("%s: got %+v, want an error", bad, got)
		}
	}
	if _, err := parse(`2/admin,["stop_game"]`); err != errOtherNamespace {
		t.Errorf("another namespace: got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`0{"sid":"x"}`, `2["n",1]`, `357[]`, `4{"message":"no"}`, `2/admin,[`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parse(s)
		switch {
		case err != nil && !cmp.Equal(p, Packet{}):
			t.Errorf("a packet in addition to an error: %+v", p)
		case err == nil && p.Type == Broken:
			t.Error("a broken packet without an error")
		case err == nil && p.Type == Event && p.Name == "":
			t.Error("an event without a name")
		}
		p.Arg(0, new(any))
	})
}
