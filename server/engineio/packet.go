package engineio

import (
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Packet types of Engine.IO 4, as the character that leads a packet.
// https://github.com/socketio/engine.io-protocol#packet-encoding
const (
	typeOpen    = '0'
	typeClose   = '1'
	typePing    = '2'
	typePong    = '3'
	typeMessage = '4'
	typeUpgrade = '5'
	typeNoop    = '6'
)

// separator stands between the packets of a polling payload.
const separator = '\x1e'

// packet is one Engine.IO packet: a text packet with its leading type, or the
// bytes of a binary message. If control is not 0 it is a WebSocket control frame.
type packet struct {
	data    string
	binary  bool
	control ws.OpCode
}

var (
	noop = packet{data: string(typeNoop)}
	ping = packet{data: string(typePing)}
)

// packetOverhead is the memory that a queued packet takes in addition to its bytes.
const packetOverhead = 40

func (p packet) cost() int64 { return int64(len(p.data)) + packetOverhead }

// appendPayload appends the packets as one polling payload.
func appendPayload(b []byte, packets []packet) []byte {
	for i, p := range packets {
		if i > 0 {
			b = append(b, separator)
		}
		if p.binary {
			b = append(b, 'b')
			b = base64.StdEncoding.AppendEncode(b, []byte(p.data))
		} else {
			b = append(b, p.data...)
		}
	}
	return b
}

// parsePayload splits a polling payload. It returns an error if any packet is invalid,
// or if there are more than limit packets and limit is not 0. The packets are not
// collected into a slice: a body may hold half a million.
func parsePayload(body string, limit int) (iter.Seq[packet], error) {
	if !utf8.ValidString(body) {
		return nil, errors.New("the payload is not UTF-8")
	}
	if body == "" {
		return func(func(packet) bool) {}, nil
	}
	if strings.HasPrefix(body, "d=") { // JSONP posts a form
		form, err := url.ParseQuery(body)
		if err != nil {
			return nil, fmt.Errorf("the payload is not a form: %w", err)
		}
		body = form.Get("d")
	}
	n := strings.Count(body, string(separator)) + 1
	if limit > 0 && n > limit {
		return nil, fmt.Errorf("the payload has %d packets, the limit is %d", n, limit)
	}
	for text := range strings.SplitSeq(body, string(separator)) {
		if _, err := parsePacket(text); err != nil {
			return nil, err
		}
	}
	return func(yield func(packet) bool) {
		for text := range strings.SplitSeq(body, string(separator)) {
			if p, _ := parsePacket(text); !yield(p) {
				return
			}
		}
	}, nil
}

// parsePacket reads a text packet. One that begins with b is a binary message
// in Base64, over either transport.
func parsePacket(text string) (packet, error) {
	switch {
	case text == "":
		return packet{}, errors.New("an empty packet")
	case text[0] == 'b':
		data, err := base64.StdEncoding.DecodeString(strings.Map(base64Only, text[1:]))
		if err != nil {
			return packet{}, fmt.Errorf("a binary packet that is not Base64: %w", err)
		}
		return packet{data: string(data), binary: true}, nil
	case text[0] < '0' || text[0] > '9':
		return packet{}, fmt.Errorf("a packet of type %q", text[0])
	}
	return packet{data: text}, nil
}

// base64Only drops characters outside of the alphabet, as Python does.
func base64Only(r rune) rune {
	switch {
	case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '+', r == '/', r == '=':
		return r
	}
	return -1
}
