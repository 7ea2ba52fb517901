package replay

import (
	"encoding/json"
	"fmt"
	"strings"

	"counting/compat-tests/siotape/packet"
	"counting/compat-tests/siotape/rules"
	"counting/compat-tests/siotape/tape"
)

// Propose returns the rules that would forgive what a server does otherwise than
// when it was recorded, if it is the same server: values that are made up each
// time, packets whose order is chance. What no rule should forgive it returns as
// the rest.
func Propose(r *tape.Recording, res *Result) (proposed rules.Rules, rest []Difference) {
	texts := occurrences(r)
	known := map[string]bool{}
	for _, d := range res.Differences {
		if d.item == nil && d.Kind != Order {
			rest = append(rest, d)
			continue
		}
		where, ok := whereOf(d.item)
		switch {
		case !ok:
			rest = append(rest, d)
		case d.Kind == Order || d.Kind == Early:
			if d.item.packet == nil || d.item.packet.Kind != packet.Event {
				rest = append(rest, d)
				continue
			}
			if key := "order " + fmt.Sprint(where); !known[key] {
				known[key] = true
				proposed.AnyOrder = append(proposed.AnyOrder, &rules.Packets{Where: where, Why: "came in another order when it was played again"})
			}
		case d.Kind == Changed:
			masks, ok := masksFor(where, d.Leaves, texts)
			if !ok {
				rest = append(rest, d)
				continue
			}
			for _, m := range masks {
				if key := fmt.Sprint(m.Where, m.Path, m.Header); !known[key] {
					known[key] = true
					proposed.Masks = append(proposed.Masks, m)
				}
			}
		default:
			rest = append(rest, d)
		}
	}
	return proposed, rest
}

// occurrences counts the lines in which each longer text and number stands.
func occurrences(r *tape.Recording) func(text string) (lines, fromClients int) {
	return func(text string) (lines, fromClients int) {
		for _, l := range r.Lines {
			in := l.Packet != nil && !l.Binary && strings.Contains(*l.Packet, text)
			sent := in && l.From == tape.Client
			if x := l.HTTP; x != nil {
				sent = strings.Contains(x.URL, text) || strings.Contains(x.Body, text) || strings.Contains(fmt.Sprint(x.Headers), text)
				in = sent || strings.Contains(x.Response, text) || strings.Contains(fmt.Sprint(x.ResponseHeaders), text)
			}
			if in {
				lines++
			}
			if sent {
				fromClients++
			}
		}
		return lines, fromClients
	}
}

func whereOf(it *item) (rules.Where, bool) {
	if it == nil {
		return rules.Where{}, false
	}
	s := it.subject
	w := rules.Where{}
	if s.Namespace != "/" {
		w.Namespace = s.Namespace
	}
	switch s.Kind {
	case "event":
		w.Event = s.Name
	case "ack":
		if w.Ack = s.Name; w.Ack == "" {
			return w, false
		}
	case "connect":
		w.Connect = true
	case "connect_error":
		w.ConnectError = true
	case "handshake":
		w.Handshake = true
	case "websocket":
		w.WebSocket = s.Path
	case "http":
		w.HTTP = s.Method + " " + s.Path
	default:
		return w, false
	}
	return w, true
}

// masksFor returns a mask for each value that differs, or false if one of them
// differs in more than its value.
func masksFor(where rules.Where, leaves []Leaf, occurs func(string) (int, int)) ([]*rules.Mask, bool) {
	var masks []*rules.Mask
	for _, l := range leaves {
		m := &rules.Mask{Where: where}
		header, isHeader := strings.CutPrefix(l.Where, "header ")
		switch {
		case isHeader:
			m.Header = header
		case strings.HasPrefix(l.Where, "$") && l.general != "":
			if err := m.Path.UnmarshalText([]byte(l.general)); err != nil {
				return nil, false
			}
		default:
			return nil, false
		}
		want, isText := l.recorded.(string)
		got, isTextNow := l.came.(string)
		number, isNumber := l.recorded.(json.Number)
		_, isNumberNow := l.came.(json.Number)
		if isText != isTextNow || isNumber != isNumberNow || !isText && !isNumber {
			return nil, false
		}
		switch {
		case rules.IsUUID(want) && rules.IsUUID(got):
			m.Is = "uuid"
		case rules.IsTime(l.recorded) && rules.IsTime(l.came):
			m.Is = "time"
		}
		text := want
		if isNumber {
			text = number.String()
		}
		lines, sent := 0, 0
		if isText && len(text) >= minToken || isNumber && len(text) >= minNumber {
			lines, sent = occurs(text)
		}
		switch {
		case sent > 0:
			m.As, m.Why = nameFor(where, l.Where), "made up by the server each time, and sent back by clients"
		case lines > 1 && m.Is != "time" && !isNumber:
			m.As, m.Why = nameFor(where, l.Where), "made up by the server each time, and the same in several places"
		case m.Is == "time":
			m.Why = "a time"
		default:
			m.Why = "another value each time"
		}
		masks = append(masks, m)
	}
	return masks, true
}

// nameFor makes a name for a value, such as "message id".
func nameFor(where rules.Where, path string) string {
	last := strings.Trim(path[strings.LastIndexAny(path, ". ")+1:], `$[]"0123456789`)
	name := strings.TrimSpace(where.Event + where.Ack + " " + last)
	if name == "" {
		return "value"
	}
	return name
}
