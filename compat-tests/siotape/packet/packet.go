// Package packet parses Engine.IO 4 and Socket.IO 5 packets for comparison.
package packet

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Separator separates the packets of a polling payload.
const Separator = "\x1e"

// A Kind is the kind of a packet.
type Kind string

// The kinds, first those of Engine.IO. Text is a message or packet of unknown form, Binary
// a binary message that does not belong to a Socket.IO packet.
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

// A Packet is one Engine.IO packet. A Socket.IO packet with attachments is complete after
// Attach was called for each of them.
type Packet struct {
	Kind      Kind
	Namespace string // of a Socket.IO packet; "/" is the main one
	ID        string // the ack id, or ""
	Name      string // of an event
	// Body is the decoded JSON after that, with json.Number for numbers: the list of
	// arguments of an event or an ack. HasBody is false if there is none.
	Body    any
	HasBody bool
	// Raw is the packet as it was sent; of a Binary packet, the bytes.
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

// Parse parses a text packet. A packet of unknown form is returned as Text.
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

// FromBytes returns a binary message as a packet.
func FromBytes(data []byte) *Packet { return &Packet{Kind: Binary, Raw: string(data)} }

// FromPolling parses one packet of a polling payload, in which binary messages are "b"
// followed by Base64.
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

// Missing returns the number of attachments that the packet still lacks.
func (p *Packet) Missing() int { return p.expected - len(p.attachments) }

// Attach adds the next attachment. After the last one, the placeholders in the Body are
// replaced by Attachments.
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

// IsTransport reports whether the packet is internal to Engine.IO.
func (p *Packet) IsTransport() bool {
	switch p.Kind {
	case Ping, Pong, Upgrade, Noop:
		return true
	}
	return p.Kind == Text && p.Raw == ""
}

// String returns the packet for messages: its text as it was sent, and binary data as
// Base64.
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

// Label describes the kind of packet, such as `event "message" in /chat`.
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
