package socketio

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// Kinds of Socket.IO 5 packets, as the digit that leads them.
const (
	kindConnect     = '0'
	kindDisconnect  = '1'
	kindEvent       = '2'
	kindBinaryEvent = '5'
	kindBinaryAck   = '6'
)

// maxExact is the largest whole number up to which float64 holds them all.
const maxExact = 1 << 53

// packet is a Socket.IO packet:
//
//	kind [attachments "-"] ["/" namespace ","] [ack id] [JSON]
//
// https://github.com/socketio/socket.io-protocol
type packet struct {
	kind        byte
	attachments int
	nsp         string // "/" if none is named
	id          string // ack id without leading zeros, "" for none
	data        string
}

// parsePacket parses a text message. The JSON is found to be valid, or absent,
// but not looked into.
func parsePacket(text string) (packet, error) {
	p := packet{nsp: "/"}
	if text == "" {
		return p, errors.New("it is empty")
	}
	p.kind = text[0]
	if p.kind < kindConnect || p.kind > kindBinaryAck {
		return p, fmt.Errorf("there is no packet type %q", p.kind)
	}
	rest := text[1:]
	if p.kind == kindBinaryEvent || p.kind == kindBinaryAck {
		count, after, ok := strings.Cut(rest, "-")
		n, err := strconv.ParseUint(count, 10, 16)
		if !ok || err != nil {
			return p, errors.New("it lacks the number of its attachments")
		}
		p.attachments, rest = int(n), after
	}
	if strings.HasPrefix(rest, "/") {
		p.nsp, rest, _ = strings.Cut(rest, ",")
		p.nsp, _, _ = strings.Cut(p.nsp, "?") // clients of old send their query here
	}
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	if digits > 100 { // the original's bound
		return p, errors.New("its ack id is too long")
	}
	if digits > 0 {
		p.id = strings.TrimLeft(rest[:digits-1], "0") + rest[digits-1:digits]
	}
	p.data = rest[digits:]
	if p.data != "" && !json.Valid([]byte(p.data)) {
		return p, errors.New("its payload is not JSON")
	}
	return p, nil
}

// event splits an event packet's payload: a list of the name and the arguments.
func (p packet) event() (name string, args []string, err error) {
	list := gjson.Parse(p.data) // valid, as parsePacket found
	if !list.IsArray() {
		return "", nil, errors.New("its payload is not a list that begins with a name")
	}
	isString, first := false, true
	list.ForEach(func(_, value gjson.Result) bool {
		if first {
			name, isString, first = value.Str, value.Type == gjson.String, false
		} else {
			args = append(args, value.Raw)
		}
		return true
	})
	switch {
	case first:
		return "", nil, errors.New("its payload is not a list that begins with a name")
	case !isString:
		return "", nil, errors.New("its name is not a string")
	}
	return name, args, nil
}

// parseNumber reads the payload of a number event, which is valid JSON. It
// takes what the original takes: true and false are 1 and 0, and a client_id of
// any scalar type is what Python would print for it. In a binary event it may be
// an attachment.
func parseNumber(args []string, binary bool) (clientID string, n float64, err error) {
	if len(args) != 1 {
		return "", 0, fmt.Errorf("a number event has one payload, not %d", len(args))
	}
	fields := gjson.Parse(args[0])
	if !fields.IsObject() {
		return "", 0, fmt.Errorf("%s is not an object with client_id and number", shorten(args[0]))
	}
	var rawID, rawNumber string
	fields.ForEach(func(key, value gjson.Result) bool { // of a key that comes twice, the last counts
		switch key.Str {
		case "client_id":
			rawID = value.Raw
		case "number":
			rawNumber = value.Raw
		}
		return true
	})
	if rawID == "" || rawNumber == "" {
		return "", 0, fmt.Errorf("%s lacks client_id or number", shorten(args[0]))
	}
	var attachment struct {
		Placeholder bool `json:"_placeholder"`
	}
	switch {
	case rawID[0] == '"' && !strings.Contains(rawID, `\`) && utf8.ValidString(rawID):
		clientID = rawID[1 : len(rawID)-1]
	case rawID[0] == '"':
		if err := json.Unmarshal([]byte(rawID), &clientID); err != nil {
			return "", 0, fmt.Errorf("client_id %s is not a string", shorten(rawID))
		}
	case binary && json.Unmarshal([]byte(rawID), &attachment) == nil && attachment.Placeholder:
		clientID = "bytes"
	case rawID[0] == '{', rawID[0] == '[':
		return "", 0, fmt.Errorf("client_id %s is not a string", shorten(rawID))
	default:
		clientID = pythonScalar(rawID)
	}
	switch rawNumber {
	case "true":
		n = 1
	case "false":
		n = 0
	default:
		if n, err = strconv.ParseFloat(rawNumber, 64); err != nil {
			return "", 0, fmt.Errorf("number %s is not a number", shorten(rawNumber))
		}
	}
	if n < -maxExact || n > maxExact {
		return "", 0, fmt.Errorf("number %s is beyond 2^53", shorten(rawNumber))
	}
	return clientID, n, nil
}

// pythonScalar is what Python prints for a JSON scalar that is no string.
func pythonScalar(raw string) string {
	switch raw {
	case "null":
		return "None"
	case "true":
		return "True"
	case "false":
		return "False"
	}
	return raw
}

// shorten quotes what a client sent, for a log line or an error.
func shorten(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
