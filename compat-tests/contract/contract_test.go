package contract

import (
	"errors"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	const both = ""
	tests := []struct {
		name   string
		mode   Mode // or both
		from   string
		packet string
		want   string // in the error, "" for none
	}{
		{"an_assignment", both, server, `42["client_assigned",{"client_id":"client2","last_number":2}]`, ""},
		{"start_game", both, server, `42["start_game"]`, ""},
		{"a_number", both, client, `42["number",{"client_id":"client1","number":57}]`, ""},
		{"a_number_that_asks_for_an_ack", both, client, `4213["number",{"client_id":"client2","number":8}]`, ""},
		{"an_ack", both, server, `4313[]`, ""},
		{"a_connect_with_auth", both, client, `40{"token":1}`, ""},
		{"the_main_namespace_written_out", both, client, `40/,`, ""},
		{"a_connect", both, server, `40{"sid":"x"}`, ""},
		{"a_disconnect", both, client, `41`, ""},
		{"another_namespace", both, client, `40/admin,`, ""},
		{"another_namespace_refused", both, server, `44/admin,"Unable to connect"`, ""},
		{"a_handshake", both, server, `0{"sid":"x"}`, ""},
		{"a_ping", both, server, `2`, ""},

		{"an_unknown_event_of_a_client", both, client, `42["numbers",{"client_id":"client1","number":1}]`, "numbers: the document does not name it"},
		{"an_unknown_event_of_the_server", both, server, `42["restart_game"]`, "restart_game: the document does not name it"},
		{"an_event_of_the_other_side", both, client, `42["start_game"]`, "does not name it"},
		{"a_number_from_the_server", both, server, `42["number",{"client_id":"client1","number":1}]`, "does not name it"},
		{"an_event_named_as_a_type", both, client, `42["DISCONNECT"]`, "does not name it"},
		{"an_event_in_another_namespace", both, client, `42/admin,["number",{"client_id":"client1","number":1}]`, "does not name it"},
		{"a_disconnect_by_the_server", Default, server, `41`, ""},
		{"a_disconnect_by_the_server", Faithful, server, `41`, "does not name it"},
		{"a_game_that_is_full", Default, server, `44{"message":"there are too many open games"}`, ""},
		{"a_second_connect", Default, server, `44"Unable to connect"`, ""},
		{"a_second_connect", Faithful, server, `44"Unable to connect"`, ""},
		{"an_ack_by_a_client", both, client, `431[]`, "does not name it"},
		{"an_ack_without_an_id", both, server, `43[]`, "ack without an id"},
		{"an_ack_that_carries_something", both, server, `431["ok"]`, "43"},
		{"start_game_with_a_payload", both, server, `42["start_game",{}]`, "want none"},
		{"a_second_payload", both, client, `42["number",{"client_id":"client1","number":1},2]`, "2 arguments"},
		{"no_payload", both, client, `42["number"]`, "want object"},
		{"a_missing_key", both, client, `42["number",{"client_id":"client1"}]`, "'number'"},
		{"an_additional_key_by_the_server", both, server, `42["client_assigned",{"client_id":"client2","last_number":2,"limit":1}]`, "'limit'"},
		{"a_third_seat", both, server, `42["client_assigned",{"client_id":"client3","last_number":3}]`, "client3"},
		{"a_number_as_text", both, client, `42["number",{"client_id":"client1","number":"1"}]`, "got string"},
		{"a_connect_without_a_sid", both, server, `40`, "want object"},
		{"broken_JSON", both, client, `42["number",`, "not JSON"},
		{"no_list", both, client, `42{}`, "not a list"},
		{"no_name", both, client, `42[5]`, "not a string"},
		{"no_packet", both, client, `4x`, "not a Socket.IO packet"},
		{"a_binary_number", both, client, `451-["number",{"client_id":"client1","number":{"_placeholder":true,"num":0}}]`, "got string"},

		{"a_refusal", Default, server, `431[{"error":"number 5 is not one of client2's"}]`, ""},
		{"a_refusal", Faithful, server, `431[{"error":"number 5 is not one of client2's"}]`, "maxItems"},
		{"no_seat_in_time", Default, server, `44{"message":"both seats are taken"}`, ""},
		{"no_seat_in_time", Faithful, server, `44{"message":"both seats are taken"}`, "want string"},
		{"a_number_of_the_other_seat", Default, client, `42["number",{"client_id":"client1","number":2}]`, "number"},
		{"a_number_of_the_other_seat", Faithful, client, `42["number",{"client_id":"client1","number":2}]`, ""},
		{"the_other_seats_next", Default, server, `42["client_assigned",{"client_id":"client2","last_number":3}]`, "last_number"},
		{"a_fraction", Default, client, `42["number",{"client_id":"client1","number":1.5}]`, "integer"},
		{"a_fraction", Faithful, client, `42["number",{"client_id":"client1","number":1.5}]`, ""},
		{"true_for_one", Default, client, `42["number",{"client_id":"client1","number":true}]`, ""},
		{"true_for_an_even_number", Default, client, `42["number",{"client_id":"client2","number":true}]`, "number"},
		{"zero", Default, client, `42["number",{"client_id":"client2","number":0}]`, "minimum"},
		{"a_name_that_is_no_seat", Default, client, `42["number",{"client_id":"bob","number":1}]`, "bob"},
		{"a_binary_client_id", Faithful, client, `451-7["number",{"client_id":{"_placeholder":true,"num":0},"number":1}]`, ""},
		{"a_placeholder_without_an_attachment", Faithful, client, `427["number",{"client_id":{"_placeholder":true,"num":0},"number":1}]`, "got object"},
	}
	for _, tt := range tests {
		modes := []Mode{tt.mode}
		if tt.mode == both {
			modes = []Mode{Default, Faithful}
		}
		for _, mode := range modes {
			t.Run(string(mode)+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				err := mode.Check(tt.from, tt.packet)
				if tt.want == "" && err != nil {
					t.Error(err)
				}
				if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("got: %v\nwant in it: %s", err, tt.want)
				}
				if unnamed := strings.Contains(tt.want, "does not name it"); unnamed != errors.Is(err, ErrUnnamed) {
					t.Errorf("%v: errors.Is(err, ErrUnnamed) is wrong", err)
				}
			})
		}
	}
}
