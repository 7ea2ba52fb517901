// Package packet reads Engine.IO 4 and Socket.IO 5 packets, so that two of them
// can be compared by what they mean.
package packet

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Separator stands between the packets of a polling payload.
const Separator = "\x1e"

// A Kind is what a packet is for.
type Kind string

// The kinds. Those of Engine.IO come first; Text is a message or a packet that
// has no known form, Binary one that belongs to no Socket.IO packet.
const (
	Handshake    Kind = "handshake"
	Close        Kind = "close"
	Ping         Kind = "ping"
	Pong         Kind = "pong"
	Upgrade      Kind = "upgrade"
	Noop         Kind = "noop"
	Connect      Kind = "connect"
	Disconnect   Kind = "disconnect"
	Event        Kind = "event"
	Ack          Kind = "ack"
	ConnectError Kind = "connect_error"
	Text         Kind = "text"
	Binary       Kind = "binary"
)

// A Packet is one Engine.IO packet. A Socket.IO packet with attachments is
// complete when each of them was given to Attach.
type Packet struct {
	Kind      Kind
	Namespace string // of a Socket.IO packet; "/" is the main one
	ID        string // the ack id, or ""
	Name      string // of an event
	// Body is the JSON behind all of that, as decoded with json.Number: the
	// arguments of an event or an ack, in a list. HasBody tells null from nothing.
	Body    any
	HasBody bool
	// Raw is the packet as it stood on the wire; of a Binary packet, the bytes.
	Raw string

	attachments [][]byte
	expected    int
}

// A Socket.IO packet in an Engine.IO message: type, number of attachments,
// namespace, ack id, JSON.
// https://github.com/socketio/socket.io-protocol#packet-encoding
var message = regexp.MustCompile(`(?s)^4(\d)(?:(\d{1,4})-)?(?:(/[^,]*),?)?(\d*)(.*)$`)

// Types of Socket.IO packets, of which 5 and 6 have attachments.
var types = map[string]Kind{
	"0": Connect, "1": Disconnect, "2": Event, "3": Ack, "4": ConnectError, "5": Event, "6": Ack,
}

// Parse reads a text packet. It never fails: what has no known form is Text.
func Parse(raw string) *Packet {
	p := &Packet{Kind: Text, Raw: raw}
	switch {
	case raw == "1":
		p.Kind = Close
	case strings.HasPrefix(raw, "2"):
		p.Kind = Ping
	case strings.HasPrefix(raw, "3"):
		p.Kind = Pong
	case raw == "5":
		p.Kind = Upgrade
	case raw == "6":
		p.Kind = Noop
	case strings.HasPrefix(raw, "0"):
		if p.body(raw[1:]) && p.HasBody {
			p.Kind = Handshake
		}
	default:
		p.parseMessage()
	}
	return p
}

func (p *Packet) parseMessage() {
	m := message.FindStringSubmatch(p.Raw)
	if m == nil || types[m[1]] == "" {
		return
	}
	kind, binary := types[m[1]], m[1] == "5" || m[1] == "6"
	if binary != (m[2] != "") || !p.body(m[5]) {
		return
	}
	if kind == Event || kind == Ack {
		args, ok := p.Body.([]any)
		if !ok {
			return
		}
		if kind == Event {
			if len(args) == 0 {
				return
			}
			if p.Name, ok = args[0].(string); !ok {
				return
			}
			p.Body = args[1:]
		}
	}
	p.Kind, p.Namespace, p.ID = kind, m[3], m[4]
	if p.Namespace == "" {
		p.Namespace = "/"
	}
	if binary {
		fmt.Sscan(m[2], &p.expected)
	}
}

func (p *Packet) body(text string) bool {
	if text == "" {
		return true
	}
	v, ok := Decode(text)
	p.Body, p.HasBody = v, ok
	return ok
}

// Decode decodes one JSON value, its numbers as json.Number.
func Decode(text string) (any, bool) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil || d.More() {
		return nil, false
	}
	return v, true
}

// FromBytes is a binary message that belongs to no packet.
func FromBytes(data []byte) *Packet { return &Packet{Kind: Binary, Raw: string(data)} }

// FromPolling reads one packet of a polling payload, where binary messages are
// Base64 behind a "b".
func FromPolling(raw string) *Packet {
	if text, ok := strings.CutPrefix(raw, "b"); ok {
		if data, err := base64.StdEncoding.DecodeString(text); err == nil {
			return FromBytes(data)
		}
	}
	return Parse(raw)
}

// Attachment is a binary value within a Body.
type Attachment string

// Missing is the number of attachments that the packet still waits for.
func (p *Packet) Missing() int { return p.expected - len(p.attachments) }

// Attach gives the packet its next attachment. With the last one, placeholders
// in the Body become Attachments.
func (p *Packet) Attach(data []byte) {
	p.attachments = append(p.attachments, data)
	if p.Missing() == 0 {
		p.Body = p.fill(p.Body)
	}
}

func (p *Packet) fill(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = p.fill(v[i])
		}
	case map[string]any:
		if v["_placeholder"] == true {
			n, _ := v["num"].(json.Number)
			if i, err := n.Int64(); err == nil && i >= 0 && int(i) < len(p.attachments) {
				return Attachment(p.attachments[i])
			}
			return v
		}
		for key := range v {
			v[key] = p.fill(v[key])
		}
	}
	return v
}

// IsTransport reports whether the packet is Engine.IO's own business.
func (p *Packet) IsTransport() bool {
	switch p.Kind {
	case Ping, Pong, Upgrade, Noop:
		return true
	}
	return p.Kind == Text && p.Raw == ""
}

// String is the packet as a person would want to read it: the text that stood
// on the wire, and Base64 where it was binary.
func (p *Packet) String() string {
	if p.Kind == Binary {
		return "binary " + base64.StdEncoding.EncodeToString([]byte(p.Raw))
	}
	s := p.Raw
	for _, data := range p.attachments {
		s += " + binary " + base64.StdEncoding.EncodeToString(data)
	}
	return s
}

// Label is what kind of packet it is, in a few words, such as
// `event "message" in /chat`.
func (p *Packet) Label() string {
	s := string(p.Kind)
	if p.Name != "" {
		s += fmt.Sprintf(" %q", p.Name)
	}
	if p.Namespace != "" && p.Namespace != "/" {
		s += " in " + p.Namespace
	}
	return s
}
