package k8s

import (
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// The component token gives the server and the clients the same token, and no overlay
// includes it.
func TestTokenComponent(t *testing.T) {
	t.Parallel()
	for _, overlay := range []string{"go-clients", "python-clients"} {
		t.Run(overlay, func(t *testing.T) {
			t.Parallel()
			if m := render(t, "overlays/"+overlay); env(m.deployments["server"], "TOKEN_FILE") != "" {
				t.Error("the server requires a token by default")
			}
			// A user's overlay.
			m := renderText(t, "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [HERE/overlays/"+overlay+"]\ncomponents: [HERE/components/token]\n")
			server := m.deployments["server"]
			if got := env(server, "TOKEN_FILE"); got != "/etc/counting/token" {
				t.Errorf("the server's TOKEN_FILE is %q", got)
			}
			isToken := func(v corev1.Volume) bool { return v.Secret != nil && v.Secret.SecretName == "counting-token" }
			mounted := func(v corev1.VolumeMount) bool {
				return v.Name == "token" && v.MountPath == "/etc/counting" && v.ReadOnly
			}
			if !slices.ContainsFunc(server.Spec.Template.Spec.Volumes, isToken) ||
				!slices.ContainsFunc(server.Spec.Template.Spec.Containers[0].VolumeMounts, mounted) {
				t.Error("the Secret is not mounted")
			}
			for _, name := range []string{"client1", "client2"} {
				vars := m.deployments[name].Spec.Template.Spec.Containers[0].Env
				token := slices.IndexFunc(vars, func(v corev1.EnvVar) bool {
					return v.Name == "TOKEN" && v.ValueFrom != nil && v.ValueFrom.SecretKeyRef.Name == "counting-token"
				})
				url := slices.IndexFunc(vars, func(v corev1.EnvVar) bool {
					return v.Name == "SERVER_URL" && v.Value == "http://server:5000?token=$(TOKEN)"
				})
				if token < 0 || url < token {
					t.Errorf("%s has the variables %v", name, vars)
				}
			}
		})
	}
}

// The kustomization for a second game in the README adds only its clients.
func TestSecondGame(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "- **A second game**")
	_, text, _ = strings.Cut(text, "\n\n")
	text, _, _ = strings.Cut(text, "\n\n")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\n      ", "\n"), "../k8s]", "HERE/overlays/go-clients]")
	m := renderText(t, text)
	if n := strings.Count("\n"+string(m.text), "\nkind: "); n != 2 || len(m.deployments) != 2 {
		t.Errorf("it has %d objects:\n%s", n, m.text)
	}
	for _, name := range []string{"client1-blue", "client2-blue"} {
		d := m.deployments[name]
		if d == nil {
			t.Fatalf("there is no %s", name)
		}
		if env(d, "GAME") != "blue" || env(d, "SERVER_URL") != "http://server:5000" || d.Spec.Selector.MatchLabels["game"] != "blue" || d.Spec.Template.Labels["game"] != "blue" {
			t.Errorf("%s is %+v", name, d.Spec)
		}
	}
}
