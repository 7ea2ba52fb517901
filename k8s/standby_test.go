package k8s

import (
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
)

// Standbys reach the owner's internal listener at its pod, and no other pods do.
func TestStandbysReachTheOwner(t *testing.T) {
	t.Parallel()
	eachOverlay(t, func(t *testing.T, m manifests) {
		server := m.deployments["server"]
		c := server.Spec.Template.Spec.Containers[0]
		if !strings.HasPrefix(c.Image, "counting-server:") {
			return // the original has no internal listener
		}
		internal, podIP := "", false
		for _, e := range c.Env {
			if f := e.ValueFrom; e.Name == "POD_IP" && f != nil && f.FieldRef != nil && f.FieldRef.FieldPath == "status.podIP" {
				podIP = true
			}
			if e.Name == "INTERNAL_ADDR" && podIP { // a variable is replaced by one above it
				internal = e.Value
			}
		}
		for _, p := range c.Ports {
			if p.Name == "internal" && p.ContainerPort != 5001 {
				t.Errorf("the port internal is %d", p.ContainerPort)
			}
		}
		if internal != "$(POD_IP):5001" {
			t.Errorf("INTERNAL_ADDR is %q", internal)
		}
		for _, service := range m.services {
			for _, p := range service.Spec.Ports {
				if p.TargetPort.String() == "internal" {
					t.Errorf("the Service %s exposes the internal listener", service.Name)
				}
			}
		}
		for _, p := range m.policies {
			if !matches(t, &p.Spec.PodSelector, server) {
				continue
			}
			for _, rule := range p.Spec.Ingress {
				if reaches(rule.Ports, "internal") && (len(rule.From) != 1 || rule.From[0].PodSelector == nil || !matches(t, rule.From[0].PodSelector, server)) {
					t.Errorf("pods other than servers reach the internal listener: %v", rule.From)
				}
			}
			out := p.Spec.Egress
			if len(out) != 1 && !m.replicated() || !reaches(out[0].Ports, "internal") || len(out[0].To) != 1 || !matches(t, out[0].To[0].PodSelector, server) {
				t.Errorf("a server may connect to %v, want only the internal listeners of servers", out)
			}
		}
	})
}

// reaches reports whether a rule applies to the port.
func reaches(ports []networkingv1.NetworkPolicyPort, name string) bool {
	for _, p := range ports {
		if p.Port != nil && p.Port.String() == name {
			return true
		}
	}
	return len(ports) == 0
}
