package replay

import (
	"testing"

	"counting/compat-tests/siotape/packet"
	"counting/compat-tests/siotape/tape"
)

// samePacket compares two packets as the engine does, without rules.
func samePacket(recorded, came string) bool {
	e := &engine{plan: &plan{Recording: &tape.Recording{}, sessions: map[string]*sessionPlan{}}}
	w, g := packet.Parse(recorded), packet.Parse(came)
	it, a := &item{packet: w}, &arrival{packet: g}
	if !e.alike(it, a) {
		return false
	}
	j := &judge{values: newValues(&tape.Recording{}, nil), tx: map[string]string{}}
	j.packet(w, g)
	return len(j.leaves) == 0
}

func TestSamePacket(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, recorded, came string
		want                 bool
	}{
		{"the_same_text", `42["start_game"]`, `42["start_game"]`, true},
		{"white_space_in_json", `42["a",{"x":1}]`, `42["a", {"x": 1}]`, true},
		{"keys_in_another_order", `42["a",{"x":1,"y":2}]`, `42["a",{"y":2,"x":1}]`, true},
		{"a_number_written_in_another_way", `42["a",3.0]`, `42["a",3]`, true},
		{"minus_zero", `42["a",-0.0]`, `42["a",0]`, true},
		{"a_large_number_by_one", `42["a",9007199254740993]`, `42["a",9007199254740992]`, false},
		{"a_number_as_a_string", `42["a",3]`, `42["a","3"]`, false},
		{"an_escaped_letter", `42["a","ä"]`, `42["a","\u00e4"]`, true},
		{"null_instead_of_nothing", `431[]`, `431[null]`, false},
		{"an_ack_id", `431[]`, `432[]`, false},
		{"an_ack_id_that_is_missing", `431[]`, `43[]`, false},
		{"a_namespace", `42/a,["x"]`, `42["x"]`, false},
		{"the_type", `42["x"]`, `45["x"]`, false},
		{"another_sid", `40{"sid":"a"}`, `40{"sid":"b"}`, true},
		{"no_sid", `40{"sid":"a"}`, `40{}`, false},
		{"an_empty_sid", `40{"sid":"a"}`, `40{"sid":""}`, false},
		{"more_than_a_sid", `40{"sid":"a"}`, `40{"sid":"a","pid":"b"}`, false},
		{"a_handshake_with_more", `0{"sid":"a","pingTimeout":1}`, `0{"sid":"b","pingTimeout":1,"maxPayload":9}`, true},
		{"a_handshake_with_less", `0{"sid":"a","pingTimeout":1}`, `0{"sid":"b"}`, false},
		{"the_words_of_a_refusal", `44/a,"no"`, `44/a,{"message":"never"}`, false},
		{"the_namespace_of_a_refusal", `44/a,"no"`, `44/b,"no"`, false},
		{"the_words_of_an_ack_that_refuses", `431[{"error":"no"}]`, `431[{"error":"never"}]`, false},
		{"an_ack_that_refuses_more", `431[{"error":"no"}]`, `431[{"error":"no","code":1}]`, false},
		{"an_ack_for_one_that_refuses", `431[{"error":"no"}]`, `431[]`, false},
		{"a_refusal_for_an_ack", `431[]`, `431[{"error":"no"}]`, false},
		{"the_words_in_an_event", `42["a",{"error":"no"}]`, `42["a",{"error":"never"}]`, false},
		{"a_probe", `3probe`, `3probe`, true},
		{"a_probe_for_a_pong", `3probe`, `3`, false},
		{"equal_broken_json", `42[`, `42[`, true},
		{"broken_json_for_json", `42[`, `42[]`, false},
		{"two_values", `42[1]`, `42[1][2]`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := samePacket(tt.recorded, tt.came); got != tt.want {
				t.Errorf("samePacket(%s, %s) = %t", tt.recorded, tt.came, got)
			}
		})
	}
}

func FuzzPacketIsSameAsItself(f *testing.F) {
	for _, seed := range []string{`42["a",1]`, `0{"sid":"a"}`, `40{"sid":"a"}`, `44/x,`, `451-/a,7["b",{"_placeholder":true,"num":0}]`, ``, `42[1e99999]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !samePacket(text, text) {
			t.Errorf("%q differs from itself", text)
		}
	})
}
