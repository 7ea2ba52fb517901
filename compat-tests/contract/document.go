package contract

import (
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// An api has the messages that each side may send.
type api struct {
	messages map[messageKey]*message
}

type messageKey struct{ channel, from, name string }

// A message is a message of the document. Its payload is nil if it has none.
type message struct{ payload *jsonschema.Schema }

// location is the URL of the document, for references.
const location = "file:///asyncapi.yaml"

// An operation has the fields of an operation that Check needs.
type operation struct {
	Action   string
	Channel  ref
	Messages []ref
	Reply    *struct {
		Channel  ref
		Messages []ref
	}
}

type ref struct {
	Ref string `yaml:"$ref"`
}

func parse(text []byte) (*api, error) {
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	tree, err := asJSON(tree)
	if err != nil {
		return nil, err
	}
	var operations struct{ Operations map[string]operation }
	if err := yaml.Unmarshal(text, &operations); err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft7)
	if err := compiler.AddResource(location, tree); err != nil {
		return nil, err
	}
	doc := &api{messages: map[messageKey]*message{}}
	for name, o := range operations.Operations {
		// Actions are from the server's point of view: clients send what it receives.
		from, back := client, server
		if o.Action == "send" {
			from, back = server, client
		}
		err := doc.add(compiler, tree, from, o.Channel, o.Messages)
		if err == nil && o.Reply != nil {
			err = doc.add(compiler, tree, back, o.Reply.Channel, o.Reply.Messages)
		}
		if err != nil {
			return nil, fmt.Errorf("operation %s: %w", name, err)
		}
	}
	return doc, nil
}

func (doc *api) add(compiler *jsonschema.Compiler, tree any, from string, channel ref, messages []ref) error {
	for _, r := range messages {
		if !strings.HasPrefix(r.Ref, channel.Ref+"/messages/") {
			return fmt.Errorf("%s is not a message of %s", r.Ref, channel.Ref)
		}
		// A channel's message refers to a component.
		at, err := find(tree, r.Ref)
		if err != nil {
			return err
		}
		to, _ := at["$ref"].(string)
		fields, err := find(tree, to)
		if err != nil {
			return err
		}
		name, _ := fields["name"].(string)
		m := &message{}
		if _, ok := fields["payload"]; ok {
			if m.payload, err = compiler.Compile(location + to + "/payload"); err != nil {
				return err
			}
		}
		key := messageKey{strings.TrimPrefix(channel.Ref, "#/channels/"), from, name}
		if doc.messages[key] != nil {
			return fmt.Errorf("the %s may send %s twice", from, name)
		}
		doc.messages[key] = m
	}
	return nil
}

// find returns the object that a reference within the document names.
func find(tree any, ref string) (map[string]any, error) {
	at, _ := tree.(map[string]any)
	path, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil, fmt.Errorf("%q is not a reference within the document", ref)
	}
	for key := range strings.SplitSeq(path, "/") {
		if at, ok = at[key].(map[string]any); !ok {
			return nil, fmt.Errorf("%s does not exist in the document", ref)
		}
	}
	return at, nil
}
