package k8s

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	admission "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

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

func TestTheServersProbes(t *testing.T) {
	t.Parallel()
	eachOverlay(t, func(t *testing.T, m manifests) {
		c := m.deployments["server"].Spec.Template.Spec.Containers[0]
		if c.StartupProbe == nil || c.ReadinessProbe == nil || c.LivenessProbe == nil {
			t.Fatal("a probe is missing")
		}
		timeout := func(p *corev1.Probe) int32 { return p.PeriodSeconds * p.FailureThreshold }
		if s, r, l := timeout(c.StartupProbe), timeout(c.ReadinessProbe), timeout(c.LivenessProbe); !(r < l && l < s) {
			t.Errorf("the probes fail after %d s at the start, %d s for readiness, %d s for liveness", s, r, l)
		}
		if !strings.HasPrefix(c.Image, "counting-server:") {
			return
		}
		// A server with a full disk is not ready, but must not be killed.
		for path, p := range map[string]*corev1.Probe{"/ready": c.ReadinessProbe, "/health": c.LivenessProbe} {
			if p.HTTPGet == nil || p.HTTPGet.Path != path {
				t.Errorf("a probe of %s is %v", path, p.ProbeHandler)
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
					t.Errorf("%s does not restrict both directions", p.Name)
				}
			}
			if n != 1 {
				t.Errorf("%s has %d policies", name, n)
			}
		}
	})
}
