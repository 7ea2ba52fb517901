package socketio

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// Type is the type of a Socket.IO packet, the digit that it begins with.
// https://github.com/socketio/socket.io-protocol#packet-encoding
type Type byte

// The types that a server without binary payloads sends.
const (
	Broken       Type = 0 // not a type of the protocol: the packet is malformed
	Connect      Type = '0'
	Disconnect   Type = '1'
	Event        Type = '2'
	Ack          Type = '3'
	ConnectError Type = '4'
)

// Packet is a packet of the server in namespace "/".
type Packet struct {
	Type Type
	// Name is the name of an Event.
	Name string
	// ID is the id of the packet that an Ack answers.
	ID int64
	// Args are the arguments of an Event, without its name, or of an Ack.
	Args []json.RawMessage
	// Message is the message of a ConnectError, or the error if Type is Broken.
	Message string
}

// Arg decodes the i-th argument into v.
func (p Packet) Arg(i int, v any) error {
	if i >= len(p.Args) {
		return errors.New("it has no such argument")
	}
	return json.Unmarshal(p.Args[i], v)
}

// errOtherNamespace is the error for a packet that is not for "/".
var errOtherNamespace = errors.New("another namespace")

// parse parses a Socket.IO packet: the text after the "4" of an Engine.IO message, such
// as `2["start_game"]`, `357[]` or `0{"sid":"x"}`.
func parse(s string) (p Packet, err error) {
	if s == "" {
		return p, errors.New("it is empty")
	}
	kind, rest := Type(s[0]), s[1:]
	if strings.HasPrefix(rest, "/") {
		nsp, after, _ := strings.Cut(rest, ",")
		if nsp != "/" {
			return p, errOtherNamespace
		}
		rest = after
	}
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	id, data := rest[:digits], []byte(rest[digits:])

	switch kind {
	case Connect:
		var open struct{ Sid string }
		err = json.Unmarshal(data, &open)
	case Disconnect:
	case Event:
		if err = json.Unmarshal(data, &p.Args); err != nil {
			break
		}
		if err = p.Arg(0, &p.Name); err != nil || p.Name == "" {
			return Packet{}, errors.New("it has no event name")
		}
		p.Args = p.Args[1:]
	case Ack:
		if p.ID, err = strconv.ParseInt(id, 10, 64); err != nil {
			break
		}
		err = json.Unmarshal(data, &p.Args)
	case ConnectError:
		p.Message = refusal(data)
	default:
		err = errors.New("its type is unknown")
	}
	if err != nil {
		return Packet{}, err
	}
	p.Type = kind
	return p, nil
}

// refusal returns the message of a CONNECT_ERROR: {"message":"…"} in Socket.IO 5, a
// string from python-socketio.
func refusal(data []byte) string {
	var object struct{ Message string }
	if json.Unmarshal(data, &object) == nil && object.Message != "" {
		return object.Message
	}
	var text string
	if json.Unmarshal(data, &text) == nil && text != "" {
		return text
	}
	return "the server refused the connection"
}
