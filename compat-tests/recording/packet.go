package recording

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/big"
	"mime"
	"regexp"
	"slices"
	"strings"
)

// A Socket.IO packet in an Engine.IO message: type, number of attachments,
// namespace, ack id, then JSON.
// https://github.com/socketio/socket.io-protocol#packet-encoding
var message = regexp.MustCompile(`(?s)^(4\d(?:\d+-)?(?:/[^,]*,?)?(?:\d+)?)(.*)$`)

// SamePacket reports whether a packet that came is the one that was recorded
// (rules 3 and 4 of FORMAT.md).
func SamePacket(recorded, came string) bool {
	head, body := split(recorded)
	cameHead, cameBody := split(came)
	if head != cameHead {
		return false
	}
	if strings.HasPrefix(head, "44") {
		return true
	}
	want, ok := decode(body)
	got, cameOK := decode(cameBody)
	if !ok || !cameOK {
		return body == cameBody
	}
	if head == "0" || strings.HasPrefix(head, "40") {
		return sameOpening(want, got, head == "0")
	}
	if strings.HasPrefix(head, "43") && isRefusal(want) {
		return isRefusal(got)
	}
	return sameJSON(want, got)
}

// split cuts a packet into what is compared as text and what is compared as
// JSON.
func split(packet string) (head, body string) {
	if strings.HasPrefix(packet, "0") {
		return "0", packet[1:]
	}
	if m := message.FindStringSubmatch(packet); m != nil {
		return m[1], m[2]
	}
	return packet, ""
}

func decode(text string) (any, bool) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil || d.More() {
		return nil, false
	}
	return v, true
}

// sameOpening compares what opens a session or a namespace: objects whose sid
// is any string.
func sameOpening(want, got any, mayHaveMore bool) bool {
	w, ok := want.(map[string]any)
	g, cameOK := got.(map[string]any)
	if !ok || !cameOK || len(g) < len(w) || len(g) > len(w) && !mayHaveMore {
		return false
	}
	for key, v := range w {
		if key == "sid" {
			if sid, ok := g[key].(string); !ok || sid == "" {
				return false
			}
			continue
		}
		if other, ok := g[key]; !ok || !sameJSON(v, other) {
			return false
		}
	}
	return true
}

func sameJSON(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a.String(), b.String())
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameJSON)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, sameJSON)
	}
	return a == b
}

// isRefusal reports whether what an ack carries is a refusal: [{"error":"…"}].
func isRefusal(ack any) bool {
	args, _ := ack.([]any)
	if len(args) != 1 {
		return false
	}
	o, _ := args[0].(map[string]any)
	_, ok := o["error"].(string)
	return ok && len(o) == 1
}

// sameNumber compares by value: 3, 3.0 and 3e0 are one number.
func sameNumber(a, b string) bool {
	const precision = 512 // bits: whole numbers far past 2^53 stay exact
	x, _, err := big.ParseFloat(a, 10, precision, big.ToNearestEven)
	y, _, err2 := big.ParseFloat(b, 10, precision, big.ToNearestEven)
	if err != nil || err2 != nil {
		return a == b
	}
	return x.Cmp(y) == 0
}

// SameExchange reports whether an HTTP answer is the one that was recorded
// (rule 7 of FORMAT.md).
func SameExchange(recorded, came Exchange) bool {
	for name, v := range recorded.ResponseHeaders {
		if came.ResponseHeaders[name] != v {
			return false
		}
	}
	return recorded.Status == came.Status &&
		sameMediaType(recorded.ContentType, came.ContentType) &&
		(recorded.Response == came.Response || recorded.Response == AnyResponse)
}

func sameMediaType(a, b string) bool {
	t, params, err := mime.ParseMediaType(strings.ToLower(a))
	u, params2, err2 := mime.ParseMediaType(strings.ToLower(b))
	if err != nil || err2 != nil {
		return a == b
	}
	return t == u && maps.Equal(params, params2)
}

func sortedKeys(m map[string]string) []string {
	return slices.Sorted(maps.Keys(m))
}

// event returns the name and the arguments of an event packet to the main
// namespace.
func event(packet string) (name string, args []json.RawMessage, ok bool) {
	head, body := split(packet)
	if !strings.HasPrefix(head, "42") || strings.Contains(head, "/") {
		return "", nil, false
	}
	var all []json.RawMessage
	if json.Unmarshal([]byte(body), &all) != nil || len(all) == 0 {
		return "", nil, false
	}
	if json.Unmarshal(all[0], &name) != nil {
		return "", nil, false
	}
	return name, all[1:], true
}

// numberSent returns the whole number that a packet counts, if it does.
func numberSent(packet string) (int, bool) {
	name, args, ok := event(packet)
	if !ok || name != "number" || len(args) != 1 {
		return 0, false
	}
	var payload struct{ Number json.Number }
	d := json.NewDecoder(bytes.NewReader(args[0]))
	if d.Decode(&payload) != nil {
		return 0, false
	}
	n, err := payload.Number.Int64()
	return int(n), err == nil
}
