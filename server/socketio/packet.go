package socketio

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Kinds of Socket.IO 5 packets, as the digit that leads them.
const (
	kindConnect      = '0'
	kindDisconnect   = '1'
	kindEvent        = '2'
	kindAck          = '3'
	kindConnectError = '4'
	kindBinaryEvent  = '5'
	kindBinaryAck    = '6'
)

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
	name        string // of an event
	args        Args   // of an event or an ack
	size        int    // bytes counted against Limits.Receiving while it is incomplete
}

func (p packet) isEvent() bool { return p.kind == kindEvent || p.kind == kindBinaryEvent }
func (p packet) isAck() bool   { return p.kind == kindAck || p.kind == kindBinaryAck }

// parse parses a text message. It recovers panics, since a defect of a parser must not
// let a client end the process.
func parse(text []byte) (p packet, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser panicked: %v", r)
		}
	}()
	if p, err = parsePacket(text); err != nil {
		return p, err
	}
	p.args.Binary = p.kind == kindBinaryEvent || p.kind == kindBinaryAck
	switch {
	case p.isEvent():
		p.name, p.args.JSON, err = p.event()
	case p.isAck():
		gjson.Parse(p.data).ForEach(func(_, value gjson.Result) bool {
			p.args.JSON = append(p.args.JSON, value.Raw)
			return len(p.args.JSON) <= maxArguments
		})
	}
	if len(p.args.JSON) > maxArguments {
		return packet{}, fmt.Errorf("it has more than %d arguments", maxArguments)
	}
	return p, err
}

// maxArguments bounds the arguments of an event and of an ack. A packet may hold half
// a million, and their list would take many times the memory of the packet.
const maxArguments = 1000

// parsePacket parses a text message. It checks that the JSON is valid or absent, but
// does not parse it.
func parsePacket(data []byte) (packet, error) {
	p := packet{nsp: "/"}
	if len(data) == 0 {
		return p, errors.New("it is empty")
	}
	text := string(data)
	p.kind = text[0]
	if p.kind < kindConnect || p.kind > kindBinaryAck {
		return p, fmt.Errorf("unknown packet type %q", p.kind)
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
		p.nsp, _, _ = strings.Cut(p.nsp, "?") // older clients send their query here
	}
	digits := 0
	for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
		digits++
	}
	if digits > 100 { // the original's limit
		return p, errors.New("its ack id is too long")
	}
	if digits > 0 { // a copy: an ack may wait for long, and must not keep the packet
		id := rest[:digits]
		for len(id) > 1 && id[0] == '0' {
			id = id[1:]
		}
		p.id = strings.Clone(id)
	}
	p.data = rest[digits:]
	if p.data != "" && !json.Valid(data[len(data)-len(p.data):]) {
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
		return len(args) <= maxArguments
	})
	switch {
	case first:
		return "", nil, errors.New("its payload is not a list that begins with a name")
	case !isString:
		return "", nil, errors.New("its name is not a string")
	}
	return name, args, nil
}

// shorten quotes what a client sent, for a log line or an error.
func shorten(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
