package protocol

import (
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"
)

func TestParseNumber(t *testing.T) {
	t.Parallel()
	digits := strings.Repeat("9", maxWhole-1)
	tests := []struct {
		name, args string // the arguments, without the list's brackets
		binary     bool
		clientID   string
		number     string // as Python prints it
		err        string
	}{
		{name: "a_count", args: `{"client_id":"client1","number":57}`, clientID: "client1", number: "57"},
		{name: "keys_in_any_order", args: `{"x":[{}],"number":2,"client_id":"client2"}`, clientID: "client2", number: "2"},
		{name: "the_last_of_two_keys", args: `{"client_id":"a","client_id":"\u0062","number":1,"number":2}`, clientID: "b", number: "2"},
		{name: "true_is_one", args: `{"client_id":true,"number":true}`, clientID: "True", number: "1"},
		{name: "false_is_zero", args: `{"client_id":false,"number":false}`, clientID: "False", number: "0"},
		{name: "null_is_a_client_id", args: `{"client_id":null,"number":1}`, clientID: "None", number: "1"},
		{name: "a_number_is_a_client_id", args: `{"client_id":1.50,"number":1}`, clientID: "1.5", number: "1"},
		{name: "minus_zero_is_zero", args: `{"client_id":-0,"number":-0}`, clientID: "0", number: "0"},
		{name: "minus_zero_point_zero_is_not", args: `{"client_id":-0.0,"number":-0.0}`, clientID: "-0.0", number: "-0.0"},
		{name: "an_exponent_makes_a_float", args: `{"client_id":"a","number":1E2}`, clientID: "a", number: "100.0"},
		{name: "a_fraction", args: `{"client_id":"a","number":100.10}`, clientID: "a", number: "100.1"},
		{name: "a_small_fraction", args: `{"client_id":"a","number":0.00001}`, clientID: "a", number: "1e-05"},
		{name: "2^53+1", args: `{"client_id":"a","number":9007199254740993}`, clientID: "a", number: "9007199254740993"},
		{name: "the_last_int64", args: `{"client_id":"a","number":9223372036854775807}`, clientID: "a", number: "9223372036854775807"},
		{name: "beyond_int64", args: `{"client_id":"a","number":9223372036854775808}`, clientID: "a", number: "9223372036854775808"},
		{name: "the_longest_whole_number", args: `{"client_id":"a","number":-` + digits + `}`, clientID: "a", number: "-" + digits},
		{name: "a_longer_one", args: `{"client_id":"a","number":` + digits + `00}`, err: "longer than 100 characters"},
		{name: "one_in_another_place", args: `{"client_id":"a","number":1,"x":[{"y":-` + digits + `0}]}`, err: "longer than 100 characters"},
		{name: "digits_in_a_string", args: `{"client_id":"\"` + digits + `00","number":1}`, clientID: `"` + digits + `00`, number: "1"},
		{name: "digits_after_a_point", args: `{"client_id":"a","number":1.` + strings.Repeat("0", 200) + `}`, clientID: "a", number: "1.0"},
		{name: "beyond_float64", args: `{"client_id":"a","number":1e400}`, clientID: "a", number: "inf"},
		{name: "an_attachment", args: `{"client_id":{"_placeholder":true,"num":0},"number":1}`, binary: true, clientID: "bytes", number: "1"},
		{name: "a_placeholder_in_a_text_event", args: `{"client_id":{"_placeholder":true,"num":0},"number":1}`, err: "client_id"},
		{name: "a_number_that_is_an_attachment", args: `{"client_id":"a","number":{"_placeholder":true,"num":0}}`, binary: true, err: "is not a number"},
		{name: "a_number_in_a_string", args: `{"client_id":"a","number":"1"}`, err: `number "1" is not a number`},
		{name: "a_list_as_client_id", args: `{"client_id":[],"number":1}`, err: `client_id [] is not a string`},
		{name: "no_number", args: `{"client_id":"a"}`, err: "lacks client_id or number"},
		{name: "no_client_id", args: `{"number":1}`, err: "lacks client_id or number"},
		{name: "capitals", args: `{"CLIENT_ID":"a","number":1}`, err: "lacks client_id or number"},
		{name: "no_object", args: `57`, err: `57 is not an object`},
		{name: "null", args: `null`, err: `null is not an object`},
		{name: "no_argument", args: ``, err: "one argument, not 0"},
		{name: "two_arguments", args: `{},{}`, err: "one argument, not 2"},
		{name: "a_long_text_is_shortened", args: `"` + strings.Repeat("x", 200) + `"`, err: "…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			clientID, n, err := ParseNumber(list(t, "["+tt.args+"]"), tt.binary)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || len(err.Error()) > 300 {
					t.Errorf("error is %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil || clientID != tt.clientID || n.String() != tt.number {
				t.Errorf("got %q, %v, %v, want %q, %s", clientID, n, err, tt.clientID, tt.number)
			}
		})
	}
}

// list splits a JSON list into the texts of its elements.
func list(tb testing.TB, text string) []string {
	tb.Helper()
	var args []json.RawMessage
	if err := json.Unmarshal([]byte(text), &args); err != nil {
		tb.Fatal(err)
	}
	raw := make([]string, len(args))
	for i, arg := range args {
		raw[i] = string(arg)
	}
	return raw
}

func TestValueInt64(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]int64{"0": 0, "-0.0": 0, "7": 7, "-7": -7, "1e3": 1000, "1000.0": 1000, "true": 1,
		"9007199254740992": 1 << 53, "9007199254740992.0": 1 << 53} {
		if got, ok := mustParse(t, raw).Int64(); !ok || got != want {
			t.Errorf("%s is %d, %v, want %d", raw, got, ok, want)
		}
	}
	for _, raw := range []string{"1.5", "9007199254740993", "-9007199254740993", "9223372036854775808", "1e16", "1e300", "1e999"} {
		if got, ok := mustParse(t, raw).Int64(); ok {
			t.Errorf("%s is %d, want that it has no int64", raw, got)
		}
	}
}

// What Python's json.dumps writes for the number plus two.
func TestValueNext(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"1": "3", "-2": "0", "1.5": "3.5", "1000.0": "1002.0", "-0.0": "2.0", "true": "3",
		"9007199254740993":     "9007199254740995",
		"9223372036854775805":  "9223372036854775807",
		"9223372036854775806":  "9223372036854775808",
		"-9223372036854775809": "-9223372036854775807",
		"99999999999999999999": "100000000000000000001",
		"1e22":                 "1e+22",
		"1e15":                 "1000000000000002.0",
		"1e999":                "1e999", // Python writes Infinity, which is not JSON
	} {
		got, err := json.Marshal(mustParse(t, raw).Next())
		if err != nil || string(got) != want {
			t.Errorf("%s + 2 is %s, %v, want %s", raw, got, err, want)
		}
	}
}

func mustParse(tb testing.TB, raw string) Value {
	tb.Helper()
	v, err := ParseValue(raw)
	if err != nil {
		tb.Fatalf("%s %v", raw, err)
	}
	return v
}

// A number's payload is read as encoding/json and Python's rules have it.
func FuzzParseNumber(f *testing.F) {
	for _, text := range []string{`[{"client_id":"client1","number":1}]`, `[{"number":1e3,"client_id":null}]`, `[]`, `[1]`, `[null]`,
		`[{"client_id":true,"number":false}]`, `[{"client_id":1.50,"number":-0}]`, `[{"CLIENT_ID":"client1","number":1}]`,
		`[{"client_id":"a","client_id":"\u0062","number":1,"number":2}]`, `[{"client_id":{"_placeholder":true},"number":1}]`,
		`[{"client_id":[],"number":9007199254740993}]`, `[{"client_id":"\ud800","number":"1"}]`, `[{},{}]`,
		`[{"client_id":"a","number":123456789012345678901234567890}]`, `[{"client_id":1e400,"number":-1.5e300}]`} {
		f.Add(text, false)
		f.Add(text, true)
	}
	f.Fuzz(func(t *testing.T, text string, binary bool) {
		var args []json.RawMessage
		var want []any
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if json.Unmarshal([]byte(text), &args) != nil || args == nil || decoder.Decode(&want) != nil {
			return
		}
		clientID, n, err := ParseNumber(list(t, text), binary)
		wantID, wantN, ok := oracle(want, binary)
		if (err == nil) != ok || ok && (clientID != wantID || n.String() != wantN) {
			t.Errorf("%s is %q, %v, %v, want %q, %v, %v", text, clientID, n, err, wantID, wantN, ok)
		}
		if err != nil {
			return
		}
		for _, v := range []Value{n, n.Next()} {
			var again Value
			text, err := json.Marshal(v)
			if err == nil {
				err = json.Unmarshal(text, &again)
			}
			if err != nil || v.String() != again.String() {
				t.Errorf("%v is sent as %s and read as %v, %v", v, text, again, err)
			}
		}
	})
}

// oracle does what ParseNumber does, on what encoding/json makes of any JSON.
func oracle(args []any, binary bool) (clientID, n string, ok bool) {
	if len(args) != 1 {
		return "", "", false
	}
	fields, _ := args[0].(map[string]any)
	if tooLong(fields) {
		return "", "", false
	}
	id, hasID := fields["client_id"]
	number, hasNumber := fields["number"]
	if !hasID || !hasNumber {
		return "", "", false
	}
	switch id := id.(type) {
	case string:
		clientID = id
	case json.Number:
		if clientID, ok = python(id); !ok {
			return "", "", false
		}
	case bool:
		clientID = map[bool]string{true: "True", false: "False"}[id]
	case nil:
		clientID = "None"
	default:
		// Whether an attachment takes the place of the string is for Socket.IO's
		// format to say; encoding/json's rules for struct fields are its own.
		text, _ := json.Marshal(id)
		var attachment struct {
			Placeholder bool `json:"_placeholder"`
		}
		if !binary || json.Unmarshal(text, &attachment) != nil || !attachment.Placeholder {
			return "", "", false
		}
		clientID = "bytes"
	}
	switch number := number.(type) {
	case bool:
		return clientID, map[bool]string{true: "1", false: "0"}[number], true
	case json.Number:
		n, ok = python(number)
		return clientID, n, ok
	}
	return "", "", false
}

// tooLong tells whether there is a whole number that is too long in v.
func tooLong(v any) bool {
	switch v := v.(type) {
	case json.Number:
		return !strings.ContainsAny(v.String(), ".eE") && len(v) > maxWhole
	case []any:
		return slices.ContainsFunc(v, tooLong)
	case map[string]any:
		for _, element := range v {
			if tooLong(element) {
				return true
			}
		}
	}
	return false
}

// python is what Python prints for a JSON number.
func python(n json.Number) (string, bool) {
	if strings.ContainsAny(n.String(), ".eE") {
		f, _ := n.Float64() // infinite beyond its range
		return pythonFloat(f), true
	}
	if len(n.String()) > maxWhole {
		return "", false
	}
	whole, ok := new(big.Int).SetString(n.String(), 10)
	return whole.String(), ok
}

// A client_id is for messages and the log: a longer one is cut off, at a whole character.
func TestALongClientIDIsCutOff(t *testing.T) {
	t.Parallel()
	id, n, err := ParseNumber([]string{`{"client_id":"x` + strings.Repeat("é€", 1000) + `","number":7}`}, false)
	if want := "x" + strings.Repeat("é€", (maxClientID-1)/5) + "é"; err != nil || id != want || n != Int(7) {
		t.Errorf("parsed %q, %v, %v", id, n, err)
	}
}
