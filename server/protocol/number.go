package protocol

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// maxClientID is how many bytes of a client_id are kept.
const maxClientID = 200

// ParseNumber parses the arguments of a number event, each of which is valid JSON. It
// accepts what the original accepts: true and false are 1 and 0, and a client_id of any
// scalar type is what Python prints for it. In a binary event the client_id may be an
// attachment. Of duplicate keys the last one is used.
//
// The clientID is cut off after maxClientID bytes, and does not keep args in memory.
//
// The error describes what is wrong with the arguments, for the client and the log.
func ParseNumber(args []string, binary bool) (clientID string, n Value, err error) {
	if len(args) != 1 {
		return "", n, fmt.Errorf("a number event has one argument, not %d", len(args))
	}
	fields := gjson.Parse(args[0])
	if !fields.IsObject() {
		return "", n, fmt.Errorf("%s is not an object with client_id and number", shorten(args[0]))
	}
	if hasTooLongWhole(args[0]) {
		return "", n, fmt.Errorf("%s has a whole number that is longer than %d characters", shorten(args[0]), maxWhole)
	}
	var rawID, rawNumber string
	fields.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "client_id":
			rawID = value.Raw
		case "number":
			rawNumber = value.Raw
		}
		return true
	})
	if rawID == "" || rawNumber == "" {
		return "", n, fmt.Errorf("%s lacks client_id or number", shorten(args[0]))
	}
	if clientID, err = parseClientID(rawID, binary); err != nil {
		return "", n, fmt.Errorf("client_id %s %w", shorten(rawID), err)
	}
	clientID = strings.Clone(strings.ToValidUTF8(clientID[:min(len(clientID), maxClientID)], ""))
	if n, err = ParseValue(rawNumber); err != nil {
		return "", n, fmt.Errorf("number %s %w", shorten(rawNumber), err)
	}
	return clientID, n, nil
}

func parseClientID(raw string, binary bool) (string, error) {
	switch {
	case raw[0] == '"' && !strings.Contains(raw, `\`) && utf8.ValidString(raw):
		return raw[1 : len(raw)-1], nil
	case raw[0] == '"':
		var id string
		err := json.Unmarshal([]byte(raw), &id)
		return id, err
	case raw[0] == '{' && binary:
		var attachment struct {
			Placeholder bool `json:"_placeholder"`
		}
		if json.Unmarshal([]byte(raw), &attachment) == nil && attachment.Placeholder {
			return "bytes", nil
		}
	}
	switch raw {
	case "null":
		return "None", nil
	case "true":
		return "True", nil
	case "false":
		return "False", nil
	}
	v, err := ParseValue(raw)
	if err != nil {
		return "", fmt.Errorf("is not a string")
	}
	return v.String(), nil
}

// hasTooLongWhole reports whether a JSON text contains a whole number that is too long
// for the original.
func hasTooLongWhole(text string) bool {
	if len(text) <= maxWhole {
		return false
	}
	inString := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case !inString && (c == '-' || '0' <= c && c <= '9'):
			start := i
			for i+1 < len(text) && strings.IndexByte("0123456789+-.eE", text[i+1]) >= 0 {
				i++
			}
			if number := text[start : i+1]; len(number) > maxWhole && !strings.ContainsAny(number, ".eE") {
				return true
			}
		}
	}
	return false
}

// shorten returns the JSON text that a client sent as it is, or quoted if it is not
// printable ASCII, for a log line or an error.
func shorten(s string) string {
	const most = 80
	end := ""
	if len(s) > most {
		s, end = s[:most], "…"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		s = strconv.Quote(s)
	}
	return s + end
}
