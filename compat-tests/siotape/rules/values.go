package rules

import (
	"fmt"
	"regexp"
	"time"
)

// Allows reports whether a value may replace a recorded one, and marks the rule as used.
func (m *Mask) Allows(recorded, came any) bool {
	ok := false
	switch m.Is {
	case "any":
		ok = true
	case "absent":
		ok = came == nil
	case "string":
		_, ok = came.(string)
	case "number":
		ok = kind(came) == "number"
	case "uuid":
		s, _ := came.(string)
		ok = uuid.MatchString(s)
	case "time":
		ok = IsTime(came) && kind(came) == kind(recorded)
	default:
		ok = kind(came) == kind(recorded)
	}
	if ok {
		m.used.Store(true)
	}
	return ok
}

var uuid = regexp.MustCompile(`(?i)^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// IsUUID reports whether a value is a UUID.
func IsUUID(v any) bool {
	s, ok := v.(string)
	return ok && uuid.MatchString(s)
}

// IsTime reports whether a value is a time: seconds, milliseconds or
// microseconds since 1970 that lie between 2001 and 2100, or a text in a common
// form.
func IsTime(v any) bool {
	if n, ok := v.(fmt.Stringer); ok && kind(v) == "number" {
		var f float64
		if _, err := fmt.Sscan(n.String(), &f); err != nil {
			return false
		}
		for _, unit := range []float64{1, 1e3, 1e6} {
			if f >= 1e9*unit && f <= 4.2e9*unit {
				return true
			}
		}
		return false
	}
	s, ok := v.(string)
	if !ok {
		return false
	}
	for _, layout := range []string{
		time.RFC3339Nano, time.RFC1123, time.RFC1123Z, time.RFC850, time.ANSIC, "2006-01-02T15:04:05", "2006-01-02 15:04:05",
		"2006-01-02 15:04:05.999999999Z07:00", "2006-01-02", "15:04:05", "15:04", "3:04 PM", "3:04:05 PM",
	} {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	return false
}

// kind is the JSON type of a decoded value.
func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "bool"
	case string:
		return "string"
	case []any:
		return "list"
	case map[string]any:
		return "object"
	case fmt.Stringer: // json.Number
		return "number"
	}
	return fmt.Sprintf("%T", v)
}
