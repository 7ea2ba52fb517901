package replay

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"counting/compat-tests/siotape/rules"
	"counting/compat-tests/siotape/tape"
)

// taped returns a recording of lines such as
//
//	0.1 A client websocket 42["hello"]
//
// In place of a packet there may be open, rawopen, close, or binary and a text.
func taped(t *testing.T, lines string) *tape.Recording {
	t.Helper()
	var file strings.Builder
	file.WriteString(`{"recording":2,"name":"taped"}` + "\n")
	for line := range strings.Lines(lines) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 5)
		if len(f) == 1 && f[0] == "" {
			continue
		}
		if f[1] == "http" {
			fmt.Fprintf(&file, "{\"at\":%s,\"http\":%s}\n", f[0], strings.Join(f[2:], " "))
			continue
		}
		if len(f) != 5 {
			t.Fatalf("%q: want five fields", line)
		}
		what := fmt.Sprintf(`"packet":%q`, f[4])
		if text, ok := strings.CutPrefix(f[4], "binary "); ok {
			what = fmt.Sprintf(`"binary":true,"packet":%q`, base64.StdEncoding.EncodeToString([]byte(text)))
		}
		switch f[4] {
		case "open":
			what = `"open":true`
		case "rawopen":
			what = `"open":true,"raw":true,"url":"/ws"`
		case "close":
			what = `"close":true`
		}
		fmt.Fprintf(&file, "{\"at\":%s,\"session\":%q,\"from\":%q,\"over\":%q,%s}\n", f[0], f[1], f[2], f[3], what)
	}
	file.WriteString(`{"end":{"sessions":1,"packets":1,"exchanges":0,"not_understood":0}}`)
	r, err := tape.Read(strings.NewReader(file.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, file.String())
	}
	return r
}

// opened is a WebSocket that has joined the main namespace.
const opened = `
	0.00 A client websocket open
	0.01 A server websocket 0{"sid":"AAAAAAAAAAAA","pingInterval":25000}
	0.02 A client websocket 40
	0.03 A server websocket 40{"sid":"aaaaaaaaaaaa"}
`

// probing is a polling session whose WebSocket has sent its probe.
const probing = `
	0.50 P client polling open
	0.51 P server polling 0{"sid":"PPPPPPPPPPPP"}
	0.52 P client websocket open
	0.53 P client websocket 2probe
`

// A changedCase is something that was recorded, and what a server does in the replay.
type changedCase struct {
	name           string
	recorded, came string // after opened
	rules          string
	want           string // in a difference; "" if there are none
	masked         int
	reordered      int
}

func (tt changedCase) run(t *testing.T) {
	t.Parallel()
	rs, err := rules.Parse([]byte(tt.rules))
	if err != nil {
		t.Fatal(err)
	}
	res := compare(t, taped(t, opened+tt.recorded), taped(t, opened+tt.came), rs)
	if tt.want != "" {
		found(t, res, tt.want)
		return
	}
	for _, d := range res.Differences {
		t.Errorf("not the same: %s", d)
	}
	if res.Masked != tt.masked || res.Reordered != tt.reordered {
		t.Errorf("%d masked, %d in another order; want %d and %d", res.Masked, res.Reordered, tt.masked, tt.reordered)
	}
}

// Differences are found in cases in which an earlier version did not find them, and in
// similar ones.
func TestDifferencesAreFound(t *testing.T) {
	t.Parallel()
	for _, tt := range []changedCase{
		{"a_second_answer_to_a_probe", probing + `
			0.54 P server websocket 3probe
			0.55 P client websocket 5`, probing + `
			0.54 P server websocket 3probe
			0.54 P server websocket 3probe
			0.55 P client websocket 5`, "", "3probe", 0, 0},
		{"an_answer_to_a_probe_that_was_not_abandoned", probing + `
			0.55 P client websocket 5`, probing + `
			0.54 P server websocket 3probe
			0.55 P client websocket 5`, "", "3probe", 0, 0},
		{"bytes_whose_base64_looks_like_a_refusal", `
			0.5 A client websocket 427["kana"]
			0.6 A server websocket 461-7[{"_placeholder":true,"num":0}]
			0.6 A server websocket binary カナ`, `
			0.5 A client websocket 427["kana"]
			0.6 A server websocket 461-7[{"_placeholder":true,"num":0}]
			0.6 A server websocket binary カニ`, "", `ack of "kana" has changed`, 0, 0},
		{"a_binary_message_whose_base64_looks_like_a_refusal", `
			0.5 A client websocket 42["kana"]
			0.6 A server websocket binary カナ`, `
			0.5 A client websocket 42["kana"]
			0.6 A server websocket binary カニ`, "", `binary has changed`, 0, 0},
		{"one_namespace_is_left_and_another_is_not", `
			0.2 A client websocket 40/chat,
			0.3 A server websocket 40/chat,{"sid":"cccccccccccc"}
			0.5 A client websocket 41
			0.7 A client websocket 42/chat,["say"]
			0.8 A server websocket 42/chat,["said"]`, `
			0.2 A client websocket 40/chat,
			0.3 A server websocket 40/chat,{"sid":"cccccccccccc"}
			0.5 A client websocket 41
			0.7 A client websocket 42/chat,["say"]
			0.8 A server websocket 42/chat,["shouted"]`, "", `event "said" in /chat is missing`, 0, 0},
		{"a_namespace_is_joined_again", `
			0.5 A client websocket 41
			0.7 A client websocket 40
			0.8 A server websocket 40{"sid":"bbbbbbbbbbbb"}
			0.8 A server websocket 42["welcome"]`, `
			0.5 A client websocket 41
			0.7 A client websocket 40
			0.8 A server websocket 40{"sid":"bbbbbbbbbbbb"}`, "", `event "welcome" is missing`, 0, 0},
		{"the_message_of_a_refusal", `
			0.5 A client websocket 40/admin,
			0.6 A server websocket 44/admin,{"message":"no password"}`, `
			0.5 A client websocket 40/admin,
			0.6 A server websocket 44/admin,{"message":"not today"}`, "", `$.message: "not today", was "no password"`, 0, 0},
		{"the_data_of_a_refusal", `
			0.5 A client websocket 40/admin,
			0.6 A server websocket 44/admin,{"message":"no","data":{"retry":5}}`, `
			0.5 A client websocket 40/admin,
			0.6 A server websocket 44/admin,{"message":"no","data":{"retry":6}}`, "", `$.data.retry: 6, was 5`, 0, 0},
		{"an_ack_that_says_what_went_wrong", `
			0.5 A client websocket 421["buy"]
			0.6 A server websocket 431[{"error":"out of stock"}]`, `
			0.5 A client websocket 421["buy"]
			0.6 A server websocket 431[{"error":"Traceback (most recent call last)"}]`, "", `$[0].error: "Traceback`, 0, 0},
		{"a_whole_number_of_two_hundred_digits", `
			0.5 A client websocket 421["n"]
			0.6 A server websocket 431[1` + strings.Repeat("0", 200) + `1]`, `
			0.5 A client websocket 421["n"]
			0.6 A server websocket 431[1` + strings.Repeat("0", 200) + `2]`, "", `ack of "n" has changed`, 0, 0},
		{"two_events_of_one_cause_in_reverse_order", `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["ready"]
			0.6 A server websocket 42["steady"]`, `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["steady"]
			0.6 A server websocket 42["ready"]`, "", `came in another order`, 0, 0},
		{"an_event_after_the_ack_that_it_came_before", `
			0.5 A client websocket 421["go"]
			0.6 A server websocket 42["ready"]
			0.6 A server websocket 431[]`, `
			0.5 A client websocket 421["go"]
			0.6 A server websocket 431[]
			0.6 A server websocket 42["ready"]`, "", `came in another order`, 0, 0},
		{"an_event_after_its_ack_on_a_slow_server", `
			0.50 B client websocket open
			0.90 B server websocket 0{"sid":"BBBBBBBBBBBB"}
			1.00 B client websocket 40
			1.40 B server websocket 40{"sid":"bbbbbbbbbbbb"}
			1.50 B client websocket 421["slow"]
			1.90 B server websocket 431[]
			2.00 A client websocket 421["go"]
			2.40 A server websocket 42["ready"]
			2.40 A server websocket 431[]`, `
			0.50 B client websocket open
			0.90 B server websocket 0{"sid":"BBBBBBBBBBBB"}
			1.00 B client websocket 40
			1.40 B server websocket 40{"sid":"bbbbbbbbbbbb"}
			1.50 B client websocket 421["slow"]
			1.90 B server websocket 431[]
			2.00 A client websocket 421["go"]
			2.40 A server websocket 431[]
			2.40 A server websocket 42["ready"]`, "", `came in another order`, 0, 0},
		{"an_event_one_step_too_early", `
			0.5 A client websocket 42["one"]
			0.6 A server websocket 42["first"]
			0.8 A client websocket 42["two"]
			0.9 A server websocket 42["second"]
			0.9 A server websocket 42["third"]`, `
			0.5 A client websocket 42["one"]
			0.6 A server websocket 42["first"]
			0.6 A server websocket 42["second"]
			0.8 A client websocket 42["two"]
			0.9 A server websocket 42["third"]`, "", `event "second" came before its cause`, 0, 0},
		{"an_event_one_step_too_late", `
			0.5 A client websocket 42["one"]
			0.6 A server websocket 42["first"]
			0.8 A client websocket 42["two"]
			0.9 A server websocket 42["second"]`, `
			0.5 A client websocket 42["one"]
			0.8 A client websocket 42["two"]
			0.9 A server websocket 42["first"]
			0.9 A server websocket 42["second"]`, "", `event "first" came late`, 0, 0},
		{"an_event_that_no_longer_asks_for_an_ack", `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 420["question"]`, `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["question"]`, "", `event "question" is missing`, 0, 0},
		{"an_event_in_another_namespace", `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["x"]`, `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42/b,["x"]`, "", `event "x" is missing`, 0, 0},
		{"another_id_where_the_session's_own_was", `
			0.5 A client websocket 42["who"]
			0.6 A server websocket 42["you",{"id":"aaaaaaaaaaaa"}]`, `
			0.5 A client websocket 42["who"]
			0.6 A server websocket 42["you",{"id":"zzzzzzzzzzzz"}]`, "", `$[0].id: "zzzzzzzzzzzz"`, 0, 0},
		{"a_masked_value_of_another_type", `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["x",{"t":1700000000}]`, `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["x",{"t":"soon"}]`, "masks:\n- {event: x, path: '$[0].t', why: a time}", `$[0].t: "soon"`, 0, 0},
		{"a_captured_value_that_is_not_the_same_everywhere", `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["made",{"id":"11111111"}]
			0.6 A server websocket 42["kept",{"id":"11111111"}]`, `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["made",{"id":"22222222"}]
			0.6 A server websocket 42["kept",{"id":"33333333"}]`,
			"masks:\n- {event: '*', path: '$[0].id', as: id, why: made up}", `$[0].id: "33333333"`, 0, 0},
		{"a_message_of_a_websocket_that_is_not_socket_io", `
			0.5 W client websocket rawopen
			0.6 W client websocket hello
			0.7 W server websocket {"got":1}`, `
			0.5 W client websocket rawopen
			0.6 W client websocket hello
			0.7 W server websocket {"got":2}`, "", `$.got: 2, was 1`, 0, 0},
		{"a_missing_cookie", `
			0.5 http {"method":"GET","url":"/","status":200,"content_type":"","response":"","response_headers":{"Set-Cookie":"a=b; Path=/"}}`, `
			0.5 http {"method":"GET","url":"/","status":200,"content_type":"","response":""}`, "", `header Set-Cookie: nothing`, 0, 0},
		{"a_cookie_with_another_value", `
			0.5 http {"method":"GET","url":"/","status":200,"content_type":"","response":"","response_headers":{"Set-Cookie":"theme=dark; Path=/"}}`, `
			0.5 http {"method":"GET","url":"/","status":200,"content_type":"","response":"","response_headers":{"Set-Cookie":"theme=light; Path=/"}}`, "", `header Set-Cookie`, 0, 0},
		{"a_cookie_that_scripts_may_read_now", `
			0.5 http {"method":"GET","url":"/","status":200,"content_type":"","response":"","response_headers":{"Set-Cookie":"s=eyJhbGciOiJIUzI1NiJ9; HttpOnly; Path=/"}}`, `
			0.5 http {"method":"GET","url":"/","status":200,"content_type":"","response":"","response_headers":{"Set-Cookie":"s=eyJxyzciOiJIUzI1NiJ9; Path=/"}}`, "", `header Set-Cookie`, 0, 0},
		{"a_header_that_is_new", `
			0.5 http {"method":"GET","url":"/","status":200,"content_type":"","response":""}`, `
			0.5 http {"method":"GET","url":"/","status":200,"content_type":"","response":"","response_headers":{"Cache-Control":"no-store"}}`, "", `header Cache-Control: "no-store", was nothing`, 0, 0},
		{"a_redirect_to_another_URL", `
			0.5 http {"method":"POST","url":"/in","status":302,"content_type":"","response":"","response_headers":{"Location":"/chat"}}`, `
			0.5 http {"method":"POST","url":"/in","status":302,"content_type":"","response":"","response_headers":{"Location":"/"}}`, "", `header Location: "/", was "/chat"`, 0, 0},
		{"bytes_of_a_body", `
			0.5 http {"method":"GET","url":"/i.png","status":200,"content_type":"image/png","response":"iVBORw==","response_base64":true}`, `
			0.5 http {"method":"GET","url":"/i.png","status":200,"content_type":"image/png","response":"iVBOSA==","response_base64":true}`, "", `answer to GET /i.png has changed`, 0, 0},
	} {
		t.Run(tt.name, tt.run)
	}
}

// Random behavior of the same app is not a difference. It is counted if it needed a rule.
func TestTheSameAppHasNoDifferences(t *testing.T) {
	t.Parallel()
	for _, tt := range []changedCase{
		{"other_ids_of_sessions_everywhere", `
			0.5 A client websocket 42["who"]
			0.6 A server websocket 42["you",{"id":"aaaaaaaaaaaa","room":"room-aaaaaaaaaaaa"}]
			0.8 A client websocket 40/x,
			0.9 A server websocket 42/x,["first",{"id":"xxxxxxxxxxxx"}]
			0.9 A server websocket 40/x,{"sid":"xxxxxxxxxxxx"}`, `
			0.5 A client websocket 42["who"]
			0.6 A server websocket 42["you",{"id":"aaaaaaaaaaaa","room":"room-aaaaaaaaaaaa"}]
			0.8 A client websocket 40/x,
			0.9 A server websocket 42/x,["first",{"id":"yyyyyyyyyyyy"}]
			0.9 A server websocket 40/x,{"sid":"yyyyyyyyyyyy"}`, "", "", 0, 0},
		{"acks_in_another_order", `
			0.50 A client websocket 422["a"]
			0.51 A client websocket 423["b"]
			0.52 A server websocket 432[]
			0.53 A server websocket 433[]`, `
			0.50 A client websocket 422["a"]
			0.51 A client websocket 423["b"]
			0.52 A server websocket 433[]
			0.53 A server websocket 432[]`, "", "", 0, 1},
		{"events_of_a_burst_in_another_order", `
			0.50 A client websocket 42["a"]
			0.51 A client websocket 42["b"]
			0.52 A server websocket 42["for a"]
			0.53 A server websocket 42["for b"]`, `
			0.50 A client websocket 42["a"]
			0.51 A client websocket 42["b"]
			0.52 A server websocket 42["for b"]
			0.53 A server websocket 42["for a"]`, "", "", 0, 1},
		{"two_namespaces", `
			0.20 A client websocket 40/chat,
			0.21 A server websocket 40/chat,{"sid":"cccccccccccc"}
			0.50 A client websocket 42["go"]
			0.52 A server websocket 42["x"]
			0.53 A server websocket 42/chat,["y"]`, `
			0.20 A client websocket 40/chat,
			0.21 A server websocket 40/chat,{"sid":"cccccccccccc"}
			0.50 A client websocket 42["go"]
			0.52 A server websocket 42/chat,["y"]
			0.53 A server websocket 42["x"]`, "", "", 0, 1},
		{"ack_ids_of_the_server", `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 420["question"]`, `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 421["question"]`, "", "", 0, 0},
		{"the_end_of_an_abandoned_upgrade", probing + `
			0.54 P client websocket close
			0.55 P server websocket 3probe
			0.70 P client polling 40
			0.71 P server polling 40{"sid":"pppppppppppp"}`, probing + `
			0.54 P client websocket close
			0.70 P client polling 40
			0.71 P server polling 40{"sid":"pppppppppppp"}`, "", "", 0, 0},
		{"the_answer_to_an_abandoned_probe", probing + `
			0.54 P client websocket close
			0.70 P client polling 40
			0.71 P server polling 40{"sid":"pppppppppppp"}`, probing + `
			0.54 P server websocket 3probe
			0.55 P client websocket close
			0.70 P client polling 40
			0.71 P server polling 40{"sid":"pppppppppppp"}`, "", "", 0, 0},
		{"a_time_that_is_masked", `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["x",{"t":1700000000}]`, `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["x",{"t":1800000000}]`, "masks:\n- {event: x, path: '$[0].t', is: time, why: now}", "", 1, 0},
		{"a_captured_value", `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["made",{"id":"11111111"}]
			0.6 A server websocket 42["kept",{"id":"11111111"}]`, `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["made",{"id":"22222222"}]
			0.6 A server websocket 42["kept",{"id":"22222222"}]`,
			"masks:\n- {event: '*', path: '$[0].id', as: id, why: made up}", "", 2, 0},
		{"a_part_of_a_text", `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["x","hello at 10:31"]`, `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["x","hello at 10:42"]`, "masks:\n- {event: x, pattern: 'at ([0-9:]+)', why: now}", "", 1, 0},
		{"a_missing_free_event", `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["tick"]
			0.6 A server websocket 42["x"]`, `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["x"]`, "free:\n- {event: tick, why: a clock}", "", 0, 0},
		{"an_event_in_any_place", `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["tick"]
			0.6 A server websocket 42["x"]`, `
			0.5 A client websocket 42["go"]
			0.6 A server websocket 42["x"]
			0.6 A server websocket 42["tick"]`, "any_order:\n- {event: tick, why: a clock}", "", 0, 1},
		{"a_session's_cookie", `
			0.5 http {"method":"GET","url":"/","status":200,"content_type":"","response":"","response_headers":{"Set-Cookie":"s=eyJhbGciOiJIUzI1NiJ9; HttpOnly; Path=/"}}`, `
			0.5 http {"method":"GET","url":"/","status":200,"content_type":"","response":"","response_headers":{"Set-Cookie":"s=eyJxyzciOiJIUzI1NiJ9; HttpOnly; Path=/"}}`, "", "", 1, 0},
		{"a_header_that_names_a_framework", `
			0.5 http {"method":"GET","url":"/","status":200,"content_type":"","response":""}`, `
			0.5 http {"method":"GET","url":"/","status":200,"content_type":"","response":"","response_headers":{"X-Powered-By":"Express"}}`,
			"masks:\n- {http: '* *', header: X-Powered-By, is: absent, why: names the framework}", "", 1, 0},
	} {
		t.Run(tt.name, tt.run)
	}
}
