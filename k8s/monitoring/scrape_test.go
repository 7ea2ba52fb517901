package monitoring

import (
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// Each overlay configures the scraping of the server's port, with the job that the alerts
// use.
func TestScrapeConfigurations(t *testing.T) {
	t.Parallel()
	for _, overlay := range []string{"annotations", "servicemonitor", "podmonitor"} {
		t.Run(overlay, func(t *testing.T) {
			t.Parallel()
			objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), overlay)
			if err != nil {
				t.Fatal(err)
			}
			var server appsv1.Deployment
			var service corev1.Service
			var byService monitoring.ServiceMonitor
			var byPod monitoring.PodMonitor
			for _, object := range objects.Resources() {
				if object.GetName() != "server" {
					continue
				}
				into := map[string]any{"Deployment": &server, "Service": &service, "ServiceMonitor": &byService, "PodMonitor": &byPod}[object.GetKind()]
				if into == nil {
					continue
				}
				text, err := object.AsYAML()
				if err != nil {
					t.Fatal(err)
				}
				if err := yaml.UnmarshalStrict(text, into); err != nil {
					t.Errorf("%v in\n%s", err, text)
				}
			}
			pod := server.Spec.Template
			selects := func(selector, labels map[string]string, jobLabel string) {
				t.Helper()
				for name, value := range selector {
					if labels[name] != value {
						t.Errorf("%s is %q, and the monitor selects %q", name, labels[name], value)
					}
				}
				if labels[jobLabel] != "counting" {
					t.Errorf("the job is %q", labels[jobLabel])
				}
			}
			port := pod.Spec.Containers[0].Ports[0]
			switch overlay {
			case "annotations":
				a := pod.Annotations
				if a["prometheus.io/scrape"] != "true" || a["prometheus.io/port"] != "5000" || port.ContainerPort != 5000 || a["prometheus.io/path"] != "/metrics" {
					t.Errorf("the annotations are %v", a)
				}
			case "servicemonitor":
				selects(byService.Spec.Selector.MatchLabels, service.Labels, byService.Spec.JobLabel)
				if e := byService.Spec.Endpoints[0]; e.Port != service.Spec.Ports[0].Name || e.Path != "/metrics" {
					t.Errorf("the endpoint is %+v", e)
				}
			case "podmonitor":
				selects(byPod.Spec.Selector.MatchLabels, pod.Labels, byPod.Spec.JobLabel)
				if e := byPod.Spec.PodMetricsEndpoints[0]; e.Port != port.Name || e.Path != "/metrics" {
					t.Errorf("the endpoint is %+v", e)
				}
			}
			if strings.Count(overlay, "monitor") == 1 && byService.Name == "" && byPod.Name == "" {
				t.Error("there is no monitor")
			}
		})
	}
}
