// Package contract checks Socket.IO packets against asyncapi.yaml, the AsyncAPI document of
// the game's protocol.
package contract

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed asyncapi.yaml
var asyncAPI []byte

// A Mode is a mode of the server, which is also the name of a channel of the document.
type Mode string

// The modes.
const (
	Default  Mode = "default"
	Faithful Mode = "faithful" // as the original
)

// elsewhere is the channel of all namespaces that are not served.
const elsewhere = "elsewhere"

// Sides, as in recordings.
const (
	client = "client"
	server = "server"
)

// ErrUnnamed is wrapped by the errors of Check for a packet that is not in the document: an
// unknown event, or a type that this side never sends.
var ErrUnnamed = errors.New("the document does not name it")

// document parses the document once.
var document = sync.OnceValues(func() (*api, error) { return parse(asyncAPI) })

// Check returns an error if in this mode the document does not allow a side ("client" or
// "server") to send an Engine.IO packet. Packets other than Socket.IO's, such as pings and
// attachments, are always allowed. It may be called concurrently.
func (m Mode) Check(from, packet string) error {
	if !strings.HasPrefix(packet, "4") {
		return nil
	}
	doc, err := document()
	if err != nil {
		return fmt.Errorf("asyncapi.yaml: %w", err)
	}
	if err := doc.check(m, from, packet[1:]); err != nil {
		return fmt.Errorf("the %s sent %s: %w", from, short(packet), err)
	}
	return nil
}

// A Socket.IO packet: type, number of attachments, namespace, ack id, JSON.
// https://github.com/socketio/socket.io-protocol#packet-encoding
var packetForm = regexp.MustCompile(`(?s)^(\d)(?:(\d+)-)?(/[^,]*,?)?(\d*)(.*)$`)

// Types of packets other than events, with their names in the document.
var types = map[string]string{"0": "CONNECT", "1": "DISCONNECT", "3": "ACK", "4": "CONNECT_ERROR", "6": "ACK"}

func (doc *api) check(m Mode, from, packet string) error {
	form := packetForm.FindStringSubmatch(packet)
	if form == nil {
		return errors.New("not a Socket.IO packet")
	}
	kind, namespace, id, payload := form[1], form[3], form[4], form[5]
	channel := string(m)
	if name, _, _ := strings.Cut(strings.TrimSuffix(namespace, ","), "?"); len(name) > 1 {
		channel = elsewhere
	}
	var value any
	if payload != "" {
		var err error
		if value, err = jsonschema.UnmarshalJSON(strings.NewReader(payload)); err != nil {
			return fmt.Errorf("its payload is not JSON: %w", err)
		}
	}
	name, isType := types[kind]
	hasPayload := payload != ""
	if !isType {
		list, _ := value.([]any)
		if len(list) == 0 {
			return errors.New("its payload is not a list that begins with a name")
		}
		var ok bool
		if name, ok = list[0].(string); !ok {
			return errors.New("its name is not a string")
		}
		if slices.Contains(slices.Collect(maps.Values(types)), name) {
			return fmt.Errorf("event %s: %w", name, ErrUnnamed)
		}
		if len(list) > 2 {
			return fmt.Errorf("it has %d arguments, want at most one", len(list)-1)
		}
		value, hasPayload = nil, len(list) == 2
		if hasPayload {
			value = list[1]
		}
	}
	if kind == "5" || kind == "6" {
		value = withAttachments(value)
	}
	if isType && kind == "3" && id == "" {
		return errors.New("it is an ack without an id")
	}
	message, ok := doc.messages[messageKey{channel, from, name}]
	if !ok {
		return fmt.Errorf("%s: %w", name, ErrUnnamed)
	}
	return message.check(value, hasPayload)
}

// check returns an error if the payload does not conform to the message.
func (m *message) check(value any, hasPayload bool) error {
	switch {
	case m.payload == nil && hasPayload:
		return errors.New("it has a payload, want none")
	case m.payload == nil:
		return nil
	}
	var wrong *jsonschema.ValidationError
	if err := m.payload.Validate(value); errors.As(err, &wrong) {
		return errors.New(strings.ReplaceAll(wrong.Error(), "\n", " "))
	} else if err != nil {
		return err
	}
	return nil
}

// withAttachments replaces the placeholders of attachments by strings, as attachments are
// scalars.
func withAttachments(value any) any {
	switch v := value.(type) {
	case map[string]any:
		if v["_placeholder"] == true {
			return "an attachment"
		}
		for key := range v {
			v[key] = withAttachments(v[key])
		}
	case []any:
		for i := range v {
			v[i] = withAttachments(v[i])
		}
	}
	return value
}

// short shortens a long packet.
func short(packet string) string {
	const most = 200
	if len(packet) > most {
		return fmt.Sprintf("%s … (%d bytes)", packet[:most], len(packet))
	}
	return packet
}

// asJSON converts a decoded YAML document to the types of decoded JSON.
func asJSON(value any) (any, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}
