package contract

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// official is AsyncAPI's own schema for documents, from its npm package
// @asyncapi/specs.
const official = "testdata/asyncapi-specs/3.0.0.json"

func officialSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	file, err := os.Open(official)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tree, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	const id = "http://asyncapi.com/definitions/3.0.0/asyncapi.json"
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(id, tree); err != nil {
		t.Fatal(err)
	}
	return compiler.MustCompile(id)
}

func tree(t *testing.T, text []byte) any {
	t.Helper()
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	tree, err := asJSON(tree)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestDocumentIsAsyncAPI(t *testing.T) {
	t.Parallel()
	schema := officialSchema(t)
	if err := schema.Validate(tree(t, asyncAPI)); err != nil {
		t.Errorf("asyncapi.yaml: %v", err)
	}
	for _, mistake := range []struct{ right, wrong string }{
		{"asyncapi: 3.0.0", "asyncapi: 2.6.0"},
		{"action: send", "action: publish"},
		{"    address: /\n", "    adress: /\n"},
		{"type: integer", "type: int"},
	} {
		text := bytes.Replace(asyncAPI, []byte(mistake.right), []byte(mistake.wrong), 1)
		if bytes.Equal(text, asyncAPI) || schema.Validate(tree(t, text)) == nil {
			t.Errorf("%q instead of %q is not found", mistake.wrong, mistake.right)
		}
	}
}

func TestDocumentIsConsistent(t *testing.T) {
	t.Parallel()
	if _, err := document(); err != nil {
		t.Fatal(err)
	}
	for _, mistake := range []struct{ right, wrong, want string }{
		{"'#/components/messages/number'", "'#/components/messages/numbers'", "does not exist in the document"},
		{"'#/channels/default/messages/number'", "'#/channels/faithful/messages/number'", "is not a message of"},
		{"'#/components/schemas/Number'", "'#/components/schemas/None'", "None"},
		{"- $ref: '#/channels/default/messages/stop_game'", "- $ref: '#/channels/default/messages/start_game'", "twice"},
	} {
		text := strings.Replace(string(asyncAPI), mistake.right, mistake.wrong, 1)
		if _, err := parse([]byte(text)); err == nil || !strings.Contains(err.Error(), mistake.want) {
			t.Errorf("%s: %v, want: %s", mistake.wrong, err, mistake.want)
		}
	}
}

// The examples in the document conform to it.
func TestDocumentsExamplesConform(t *testing.T) {
	t.Parallel()
	var doc struct {
		Components struct {
			Messages map[string]struct {
				Name     string
				Examples []struct{ Payload any }
			}
		}
	}
	if err := yaml.Unmarshal(asyncAPI, &doc); err != nil {
		t.Fatal(err)
	}
	examples := 0
	for _, m := range doc.Components.Messages {
		for _, e := range m.Examples {
			examples++
			from := server
			if m.Name == "number" {
				from = client
			}
			event, err := json.Marshal([]any{m.Name, e.Payload})
			if err != nil {
				t.Fatal(err)
			}
			if err := Default.Check(from, "42"+string(event)); err != nil {
				t.Error(err)
			}
		}
	}
	if examples == 0 {
		t.Error("there are none")
	}
}

// The document, the manual and the code name the same events.
func TestEventNames(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../../server/protocol/protocol.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	inCode := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		group, ok := n.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST || !group.Lparen.IsValid() {
			return true
		}
		for _, spec := range group.Specs {
			for _, value := range spec.(*ast.ValueSpec).Values {
				if text, ok := value.(*ast.BasicLit); ok && text.Kind == token.STRING {
					inCode[strings.Trim(text.Value, `"`)] = true
				}
			}
		}
		return true
	})
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	inDocument := map[string]bool{}
	for key := range doc.messages {
		if key.name != strings.ToUpper(key.name) { // not a type, such as ACK
			inDocument[key.name] = true
		}
	}
	if len(inCode) < 4 || !maps.Equal(inCode, inDocument) {
		t.Errorf("protocol.go has the events %v, asyncapi.yaml %v", slices.Sorted(maps.Keys(inCode)), slices.Sorted(maps.Keys(inDocument)))
	}
	manual, err := os.ReadFile("../../server/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range inCode {
		if !bytes.Contains(manual, []byte("`"+name+"`")) {
			t.Errorf("server/README.md does not name %s", name)
		}
	}
}
