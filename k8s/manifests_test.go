// Package k8s has tests of the manifests that need no cluster.
package k8s

import (
	"bytes"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestNamesAndSelectorsAreTheOriginals(t *testing.T) {
	t.Parallel()
	eachOverlay(t, func(t *testing.T, m manifests) {
		if got := slices.Sorted(maps.Keys(m.deployments)); !slices.Equal(got, []string{"client1", "client2", "server"}) {
			t.Errorf("the Deployments are %v", got)
		}
		for name, d := range m.deployments {
			want := metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
			if d.Spec.Selector.String() != want.String() {
				t.Errorf("%s selects %v, which cannot be applied over %v", name, d.Spec.Selector, want)
			}
			if !matches(t, d.Spec.Selector, d) {
				t.Errorf("%s does not select its own pods, %v", name, d.Spec.Template.Labels)
			}
			for _, label := range []string{"app.kubernetes.io/name", "app.kubernetes.io/part-of", "app.kubernetes.io/component"} {
				if d.Labels[label] == "" || d.Spec.Template.Labels[label] == "" {
					t.Errorf("%s or its pods lack the label %s", name, label)
				}
			}
			if name == "server" {
				continue
			}
			if got := env(d, "SERVER_URL"); got != "http://server:5000" {
				t.Errorf("%s has the SERVER_URL %q", name, got)
			}
		}
		server := m.deployments["server"]
		if !m.replicated() {
			if got := server.Spec.Template.Spec.Volumes[0].PersistentVolumeClaim.ClaimName; got != "data-pvc" {
				t.Errorf("the server's claim is %s", got)
			}
		}
		service := m.services["server"]
		if port := service.Spec.Ports[0]; port.Port != 5000 {
			t.Errorf("the Service's port is %d", port.Port)
		}
		checkService(t, service, server)
	})
}

// There is one server, as the file has one writer, or three on etcd. Go clients have a spare
// each and roll: an old pod ends when the new one is ready. Python clients have no spare, as
// one without a seat exits.
func TestReplicasAndStrategies(t *testing.T) {
	t.Parallel()
	eachOverlay(t, func(t *testing.T, m manifests) {
		for name, d := range m.deployments {
			replicas, strategy := int32(1), appsv1.RecreateDeploymentStrategyType
			if name == "server" && m.replicated() {
				replicas, strategy = 3, appsv1.RollingUpdateDeploymentStrategyType
			}
			if name != "server" {
				strategy = appsv1.RollingUpdateDeploymentStrategyType
				if strings.HasPrefix(d.Spec.Template.Spec.Containers[0].Image, "counting-client:") {
					replicas = 2
				}
				if r := d.Spec.Strategy.RollingUpdate; r == nil || r.MaxSurge.IntValue() != 1 || r.MaxUnavailable.IntValue() != 0 {
					t.Errorf("%s has the rolling update %v", name, r)
				}
			}
			if d.Spec.Replicas == nil || *d.Spec.Replicas != replicas || d.Spec.Strategy.Type != strategy {
				t.Errorf("%s has %d replicas, want %d, and the strategy %s, want %s", name, *d.Spec.Replicas, replicas, d.Spec.Strategy.Type, strategy)
			}
			if deadline := d.Spec.ProgressDeadlineSeconds; deadline == nil || *deadline > 60 {
				t.Errorf("%s: the progress deadline is %v s, want at most 60", name, deadline)
			}
		}
		// A null differs from a missing field for kubectl apply, but not in the Go types.
		recreated := 1
		if m.replicated() {
			recreated = 0
		}
		if got := bytes.Count(m.text, []byte("  strategy:\n    rollingUpdate: null\n    type: Recreate\n")); got != recreated {
			t.Errorf("%d Deployments remove rollingUpdate", got)
		}
	})
}

func TestProbesOfGoClients(t *testing.T) {
	t.Parallel()
	eachOverlay(t, func(t *testing.T, m manifests) {
		for name, d := range m.deployments {
			c := d.Spec.Template.Spec.Containers[0]
			if !strings.HasPrefix(c.Image, "counting-client:") {
				continue
			}
			p := c.ReadinessProbe
			if p == nil || p.Exec == nil || !slices.Equal(p.Exec.Command, []string{"/client", "-check"}) || env(d, "HEALTH") == "" {
				t.Errorf("%s is probed by %v, and answers on %q", name, p, env(d, "HEALTH"))
			}
			if c.LivenessProbe != nil {
				t.Errorf("%s has a liveness probe, and would be killed without a server", name)
			}
		}
	})
}

// There is no empty list of rules, which the API server drops, so that kubectl diff would
// always show it.
func TestNoFieldIsDroppedByTheAPIServer(t *testing.T) {
	t.Parallel()
	eachOverlay(t, func(t *testing.T, m manifests) {
		if i := bytes.Index(m.text, []byte("gress: []")); i >= 0 {
			t.Errorf("%q", m.text[max(0, i-100):i+9])
		}
	})
}

// The image uses the volume where the original's manifest mounts it, and so do our manifests
// and the compose file.
func TestTheImageTakesTheOriginalsPlace(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../compat-tests/original/k8s-deployments.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var original manifests
	original.decode(t, text)
	mount := original.deployments["server"].Spec.Template.Spec.Containers[0].VolumeMounts[0].MountPath
	dockerfile, err := os.ReadFile("../server/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"ENV DATA=" + mount, "VOLUME " + mount, "WORKDIR " + path.Dir(mount), "USER 65532:65532"} {
		if !bytes.Contains(dockerfile, []byte("\n"+line+"\n")) {
			t.Errorf("server/Dockerfile has no line %q", line)
		}
	}
	compose, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(compose, []byte(`volumes: ["data:`+mount+`"]`)) {
		t.Errorf("docker-compose.yml does not mount a volume at %s", mount)
	}
	eachOverlay(t, func(t *testing.T, m manifests) {
		server := m.deployments["server"]
		if !m.replicated() {
			if got := server.Spec.Template.Spec.Containers[0].VolumeMounts[0].MountPath; got != mount || env(server, "DATA") != "" {
				t.Errorf("the volume is at %s, DATA is %q", got, env(server, "DATA"))
			}
		}
		for name, d := range original.deployments {
			if of := m.deployments[name]; of.Spec.Selector.String() != d.Spec.Selector.String() || of.Spec.Template.Spec.Containers[0].Name != d.Spec.Template.Spec.Containers[0].Name {
				t.Errorf("%s cannot be applied over the original's", name)
			}
		}
	})
}

// The server limits the count if it has Python clients, which are restarted at its end.
func TestTheCountEndsForPythonClients(t *testing.T) {
	t.Parallel()
	eachOverlay(t, func(t *testing.T, m manifests) {
		python := strings.HasPrefix(m.deployments["client1"].Spec.Template.Spec.Containers[0].Image, "client1:")
		if limit := env(m.deployments["server"], "LIMIT"); python != (limit == "2000") {
			t.Errorf("the server's limit is %q", limit)
		}
	})
}
