package tape

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const header = `{"recording":1,"name":"x"}` + "\n"

func TestWrittenRecordingReadsTheSame(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain-http", "python-client-rejoins", "binary-numbers", "cors"} {
		r, err := ReadFile(filepath.Join("..", "..", "recordings", name+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := r.Write(&file); err != nil {
			t.Fatal(err)
		}
		again, err := Read(&file)
		if err != nil {
			t.Fatal(err)
		}
		r.ServerLog, again.ServerLog = nil, nil // an empty one is omitted
		if diff := cmp.Diff(r, again); diff != "" {
			t.Errorf("%s: before -, written and read again +\n%s", name, diff)
		}
	}
}

func TestReadSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, file, want string }{
		{"empty", "", "this is not a recording"},
		{"another_version", `{"recording":3}`, "line 1: recording version 3"},
		{"no_json", header + "\n{", "line 3: unexpected end of JSON input"},
		{"no_session", header + `{"at":1,"from":"client","packet":"4"}`, "line 2: neither a session nor http"},
		{"nobody_sent_it", header + `{"at":1,"session":"A","packet":"4"}`, `line 2: from ""`},
		{"no_transport", header + `{"at":1,"session":"A","from":"client","packet":"4"}`, `line 2: over ""`},
		{"nothing_happened", header + `{"at":1,"session":"A","from":"client","over":"polling"}`, "line 2: neither open, packet nor close"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Read(strings.NewReader(tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want: %s", err, tt.want)
			}
		})
	}
}
