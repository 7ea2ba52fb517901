package k8s

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// manifests are the objects that an overlay renders to.
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

// replicated reports whether the counts are in etcd.
func (m *manifests) replicated() bool { return m.statefulSets["etcd"] != nil }

// pods returns the templates of all pods, by the names of their controllers.
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

// decode validates as an API server with strict field validation: unknown fields, duplicate
// fields and values of the wrong type are errors. The schemas are generated from these Go
// types.
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
			t.Errorf("unknown kind %s %s", head.APIVersion, head.Kind)
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

// renderText renders a kustomization from outside the source tree, in which HERE is the
// path of this directory.
func renderText(t *testing.T, text string) manifests {
	t.Helper()
	dir := t.TempDir()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if here, err = filepath.Rel(dir, here); err != nil {
		t.Fatal(err)
	}
	text = strings.TrimSpace(strings.ReplaceAll(text, "HERE", here))
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return render(t, dir)
}

// overlays returns the folders that can be applied; the first is the default.
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

// selects reports whether the selector is not empty and selects a pod with these labels.
func selects(t *testing.T, selector *metav1.LabelSelector, pod map[string]string) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return !s.Empty() && s.Matches(labels.Set(pod))
}

// checkService checks that the service selects the server's pods and one of their ports.
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
	t.Errorf("the server has no port %v, the target of %s", service.Spec.Ports[0].TargetPort, service.Name)
}
