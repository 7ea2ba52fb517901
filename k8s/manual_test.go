package k8s

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"
)

type file struct {
	io.Reader
	name string
}

func (f file) Name() string { return f.name }

func TestThePageIsWhereKindMapsIt(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("kind/page.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var page manifests
	page.decode(t, text)
	checkService(t, page.services["page"], render(t, ".").deployments["server"])

	for file, nodes := range map[string]int{"kind/cluster.yaml": 1, "kind/nodes.yaml": 4} {
		if text, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
		var cluster kind.Cluster
		if err := yaml.UnmarshalStrict(text, &cluster); err != nil {
			t.Fatal(err)
		}
		port := cluster.Nodes[0].ExtraPortMappings[0]
		if len(cluster.Nodes) != nodes || port.ContainerPort != page.services["page"].Spec.Ports[0].NodePort || port.HostPort != 5000 {
			t.Errorf("%s has %d nodes and maps %+v, the page is on %d", file, len(cluster.Nodes), port, page.services["page"].Spec.Ports[0].NodePort)
		}
	}
}

// The manual's kustomization for a namePrefix works.
func TestTheManualsNamePrefix(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	snippet := regexp.MustCompile(`(?m)^ {6}namePrefix: .*\n(?: {6}.*\n)+`).Find(text)
	m := renderText(t, strings.NewReplacer("\n      ", "\n", "../k8s", "HERE").Replace(string(snippet)))
	for _, client := range []string{"blue-client1", "blue-client2"} {
		if d := m.deployments[client]; d == nil || env(d, "SERVER_URL") != "http://blue-server:5000" || m.services["blue-server"] == nil {
			t.Errorf("%s does not refer to the server", client)
		}
	}
	if d := m.deployments["blue-server"]; d == nil || m.claims[d.Spec.Template.Spec.Volumes[0].PersistentVolumeClaim.ClaimName] == nil {
		t.Error("the server has no claim")
	}
}

func TestFilesInTheManualExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## What is here")
	named := regexp.MustCompile("`([a-z0-9_*/-]+\\.[a-z]+|e2e)`").FindAllStringSubmatch(table, -1)
	if len(named) < 8 {
		t.Fatalf("the table names only %q", named)
	}
	for _, name := range named {
		if files, err := filepath.Glob(name[1]); err != nil || len(files) == 0 && name[1] != "numbers.txt" {
			t.Errorf("there is no %s", name[1])
		}
	}
}
