// Package k8s has no code, only tests: they hold the manifests to what can be
// known of them without a cluster.
package k8s

import (
	"bytes"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	admission "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// manifests are what an overlay renders to.
type manifests struct {
	text         []byte
	deployments  map[string]*appsv1.Deployment
	statefulSets map[string]*appsv1.StatefulSet
	jobs         map[string]*batchv1.Job
	services     map[string]*corev1.Service
	claims       map[string]*corev1.PersistentVolumeClaim
	policies     map[string]*networkingv1.NetworkPolicy
	budgets      map[string]*policyv1.PodDisruptionBudget
}

// replicated tells whether the counts are in etcd, and the servers have no volume.
func (m *manifests) replicated() bool { return m.statefulSets["etcd"] != nil }

// pods are the templates of all pods, by the names of what makes them.
func (m *manifests) pods() map[string]corev1.PodTemplateSpec {
	pods := map[string]corev1.PodTemplateSpec{}
	for name, d := range m.deployments {
		pods[name] = d.Spec.Template
	}
	for name, s := range m.statefulSets {
		pods[name] = s.Spec.Template
	}
	for name, j := range m.jobs {
		pods[name] = j.Spec.Template
	}
	return pods
}

// decode validates as strictly as an API server that is asked for it: a field
// that the kind does not have, a field twice and a value of the wrong type are
// errors. The Go types are what the schemas are made from, so no schema has to
// be fetched or kept.
func (m *manifests) decode(t *testing.T, text []byte) {
	t.Helper()
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var head metav1.TypeMeta
		if err := yaml.Unmarshal(document, &head); err != nil {
			t.Fatal(err)
		}
		switch head.APIVersion + " " + head.Kind {
		case "apps/v1 Deployment":
			add(t, &m.deployments, document, func(d *appsv1.Deployment) string { return d.Name })
		case "apps/v1 StatefulSet":
			add(t, &m.statefulSets, document, func(s *appsv1.StatefulSet) string { return s.Name })
		case "batch/v1 Job":
			add(t, &m.jobs, document, func(j *batchv1.Job) string { return j.Name })
		case "policy/v1 PodDisruptionBudget":
			add(t, &m.budgets, document, func(b *policyv1.PodDisruptionBudget) string { return b.Name })
		case "v1 Service":
			add(t, &m.services, document, func(s *corev1.Service) string { return s.Name })
		case "v1 PersistentVolumeClaim":
			add(t, &m.claims, document, func(c *corev1.PersistentVolumeClaim) string { return c.Name })
		case "networking.k8s.io/v1 NetworkPolicy":
			add(t, &m.policies, document, func(p *networkingv1.NetworkPolicy) string { return p.Name })
		default:
			t.Errorf("this test knows no %s %s", head.APIVersion, head.Kind)
		}
	}
}

func add[T any](t *testing.T, to *map[string]*T, document []byte, name func(*T) string) {
	t.Helper()
	object := new(T)
	if err := yaml.UnmarshalStrict(document, object); err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	if *to == nil {
		*to = map[string]*T{}
	}
	(*to)[name(object)] = object
}

func render(t *testing.T, overlay string) manifests {
	t.Helper()
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), overlay)
	if err != nil {
		t.Fatal(err)
	}
	text, err := objects.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	m := manifests{text: text}
	m.decode(t, text)
	return m
}

// overlays are the folders that can be applied; the first is the default.
func overlays(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("overlays/*/kustomization.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("overlays are %v, %v", files, err)
	}
	dirs := []string{"."}
	for _, file := range files {
		dirs = append(dirs, filepath.Dir(file))
	}
	return dirs
}

// eachOverlay runs check on what each overlay renders to.
func eachOverlay(t *testing.T, check func(t *testing.T, m manifests)) {
	t.Helper()
	for _, dir := range overlays(t) {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			check(t, render(t, dir))
		})
	}
}

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

func env(d *appsv1.Deployment, name string) string {
	for _, e := range d.Spec.Template.Spec.Containers[0].Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

func matches(t *testing.T, selector *metav1.LabelSelector, d *appsv1.Deployment) bool {
	t.Helper()
	return selects(t, selector, d.Spec.Template.Labels)
}

// selects tells whether a selector that is not empty selects a pod with these labels.
func selects(t *testing.T, selector *metav1.LabelSelector, pod map[string]string) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return !s.Empty() && s.Matches(labels.Set(pod))
}

// checkService checks that the service leads to a port of the server's pods.
func checkService(t *testing.T, service *corev1.Service, server *appsv1.Deployment) {
	t.Helper()
	if !matches(t, &metav1.LabelSelector{MatchLabels: service.Spec.Selector}, server) {
		t.Errorf("%s does not select the server's pods", service.Name)
	}
	for _, port := range server.Spec.Template.Spec.Containers[0].Ports {
		if port.Name == service.Spec.Ports[0].TargetPort.String() && port.ContainerPort == 5000 {
			return
		}
	}
	t.Errorf("the port %v of %s is none of the server's", service.Spec.Ports[0].TargetPort, service.Name)
}

// One writer of one file on a volume for one node; etcd has three servers. Go clients have a spare each,
// and roll: nobody leaves before the next is there. A Python client that finds no
// seat ends, so it has none.
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
					t.Errorf("%s rolls by %v", name, r)
				}
			}
			if d.Spec.Replicas == nil || *d.Spec.Replicas != replicas || d.Spec.Strategy.Type != strategy {
				t.Errorf("%s has %d replicas, want %d, and is replaced by %s, want %s", name, *d.Spec.Replicas, replicas, d.Spec.Strategy.Type, strategy)
			}
			if deadline := d.Spec.ProgressDeadlineSeconds; deadline == nil || *deadline > 60 {
				t.Errorf("%s: an image that is missing is noticed after %v s", name, deadline)
			}
		}
		// Types do not tell null from nothing, kubectl apply does.
		recreated := 1
		if m.replicated() {
			recreated = 0
		}
		if got := bytes.Count(m.text, []byte("  strategy:\n    rollingUpdate: null\n    type: Recreate\n")); got != recreated {
			t.Errorf("%d Deployments take away the rollingUpdate of a running one", got)
		}
	})
}

func TestGoClientsTellWhetherTheyHearFromTheServer(t *testing.T) {
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
				t.Errorf("%s is killed while the server is away", name)
			}
		}
	})
}

// What the API server drops or fills in is found by kubectl diff for ever: an
// empty list of rules is one such thing.
func TestNothingIsSaidThatTheAPIServerDrops(t *testing.T) {
	t.Parallel()
	eachOverlay(t, func(t *testing.T, m manifests) {
		if i := bytes.Index(m.text, []byte("gress: []")); i >= 0 {
			t.Errorf("%q", m.text[max(0, i-100):i+9])
		}
	})
}

// The image finds the volume of the original's manifest by itself, and so do our
// manifests and the compose file.
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

// Where a Python client is started again when all is counted, the server ends the
// count.
func TestTheCountEndsForPythonClients(t *testing.T) {
	t.Parallel()
	eachOverlay(t, func(t *testing.T, m manifests) {
		python := strings.HasPrefix(m.deployments["client1"].Spec.Template.Spec.Containers[0].Image, "client1:")
		if limit := env(m.deployments["server"], "LIMIT"); python != (limit == "2000") {
			t.Errorf("the server's limit is %q", limit)
		}
	})
}

func TestPodsAreRestricted(t *testing.T) {
	t.Parallel()
	eachOverlay(t, func(t *testing.T, m manifests) { checkPods(t, m) })
}

func checkPods(t *testing.T, m manifests) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		t.Fatal(err)
	}
	for name, pod := range m.pods() {
		restricted := admission.LevelVersion{Level: admission.LevelRestricted, Version: admission.LatestVersion()}
		for _, result := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				t.Errorf("%s: %s: %s", name, result.ForbiddenReason, result.ForbiddenDetail)
			}
		}
		if token := pod.Spec.AutomountServiceAccountToken; token == nil || *token {
			t.Errorf("%s gets a token of its service account", name)
		}
		for _, c := range pod.Spec.Containers {
			if ro := c.SecurityContext.ReadOnlyRootFilesystem; ro == nil || !*ro {
				t.Errorf("%s can write to its root file system", name)
			}
			checkContainer(t, name, c)
		}
	}
}

func checkContainer(t *testing.T, deployment string, c corev1.Container) {
	t.Helper()
	if _, tag, _ := strings.Cut(c.Image, ":"); tag == "" || tag == "latest" {
		t.Errorf("%s has the image %s", deployment, c.Image)
	}
	for _, of := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		request, limit := c.Resources.Requests[of], c.Resources.Limits[of]
		if request.IsZero() || limit.IsZero() {
			t.Errorf("%s has no request or no limit of %s", deployment, of)
		}
	}
}

func TestTheServersProbesMeanDifferentThings(t *testing.T) {
	t.Parallel()
	eachOverlay(t, func(t *testing.T, m manifests) {
		c := m.deployments["server"].Spec.Template.Spec.Containers[0]
		if c.StartupProbe == nil || c.ReadinessProbe == nil || c.LivenessProbe == nil {
			t.Fatal("a probe is missing")
		}
		patience := func(p *corev1.Probe) int32 { return p.PeriodSeconds * p.FailureThreshold }
		if s, r, l := patience(c.StartupProbe), patience(c.ReadinessProbe), patience(c.LivenessProbe); !(r < l && l < s) {
			t.Errorf("patience is %d s at the start, %d s until it is not ready, %d s until it is killed", s, r, l)
		}
		if !strings.HasPrefix(c.Image, "counting-server:") {
			return
		}
		// A full disk is seen by /ready alone, and is no reason to be killed.
		for path, p := range map[string]*corev1.Probe{"/ready": c.ReadinessProbe, "/health": c.LivenessProbe} {
			if p.HTTPGet == nil || p.HTTPGet.Path != path {
				t.Errorf("a probe does not ask %s but %v", path, p.ProbeHandler)
			}
		}
	})
}

func TestEachPodHasANetworkPolicy(t *testing.T) {
	t.Parallel()
	eachOverlay(t, func(t *testing.T, m manifests) {
		for name, pod := range m.pods() {
			n := 0
			for _, p := range m.policies {
				if selects(t, &p.Spec.PodSelector, pod.Labels) {
					n++
				}
				if len(p.Spec.PolicyTypes) != 2 {
					t.Errorf("%s leaves a direction open", p.Name)
				}
			}
			if n != 1 {
				t.Errorf("%s has %d policies", name, n)
			}
		}
	})
}
