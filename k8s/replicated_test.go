package k8s

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const replicated = "overlays/replicated"

// expand replaces the variables in a value as the kubelet does for a pod of that name.
func expand(value, pod string) string {
	return strings.NewReplacer("$(POD_NAME)", pod, "$(POD_IP)", "10.0.0.7").Replace(value)
}

// The members of etcd refer to each other by the DNS names of the StatefulSet, and their
// flags are valid.
func TestEtcdsMembers(t *testing.T) {
	t.Parallel()
	m := render(t, replicated)
	etcd, service := m.statefulSets["etcd"], m.services["etcd"]
	c := etcd.Spec.Template.Spec.Containers[0]
	if *etcd.Spec.Replicas != 3 || etcd.Spec.ServiceName != service.Name || etcd.Spec.PodManagementPolicy != "Parallel" {
		t.Errorf("%d members, with the Service %s and the policy %s", *etcd.Spec.Replicas, etcd.Spec.ServiceName, etcd.Spec.PodManagementPolicy)
	}
	if service.Spec.ClusterIP != corev1.ClusterIPNone || !service.Spec.PublishNotReadyAddresses {
		t.Error("the members have no names before they are ready")
	}
	pod := etcd.Spec.Template.Labels
	if !selects(t, etcd.Spec.Selector, pod) || !selects(t, &metav1.LabelSelector{MatchLabels: service.Spec.Selector}, pod) {
		t.Errorf("the pods have the labels %v, the Service selects %v", pod, service.Spec.Selector)
	}
	ports := map[string]int32{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	for _, p := range service.Spec.Ports {
		if ports[p.TargetPort.String()] != p.Port {
			t.Errorf("the Service's port %s is %d, the member's %d", p.Name, p.Port, ports[p.TargetPort.String()])
		}
	}
	var initial, store []string
	for i := range 3 {
		pod := fmt.Sprintf("etcd-%d", i)
		initial = append(initial, fmt.Sprintf("%s=http://%s.etcd:%d", pod, pod, ports["peer"]))
		store = append(store, fmt.Sprintf("%s.etcd:%d", pod, ports["client"]))
	}
	for i := range 3 {
		pod := fmt.Sprintf("etcd-%d", i)
		flags := flag.NewFlagSet("etcd", flag.ContinueOnError)
		embed.NewConfig().AddFlags(flags)
		var args []string
		for _, arg := range c.Args {
			args = append(args, expand(arg, pod))
		}
		if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
			t.Fatalf("etcd %v: %v, %v", args, err, flags.Args())
		}
		for name, want := range map[string]string{
			"name":                        pod,
			"initial-cluster":             strings.Join(initial, ","),
			"listen-peer-urls":            fmt.Sprintf("http://0.0.0.0:%d", ports["peer"]),
			"listen-client-urls":          fmt.Sprintf("http://0.0.0.0:%d", ports["client"]),
			"listen-metrics-urls":         fmt.Sprintf("http://0.0.0.0:%d", ports["metrics"]),
			"initial-advertise-peer-urls": fmt.Sprintf("http://%s.etcd:%d", pod, ports["peer"]),
			"advertise-client-urls":       fmt.Sprintf("http://%s.etcd:%d", pod, ports["client"]),
			"auto-compaction-mode":        "periodic",
			"auto-compaction-retention":   "1m",
			// Two rounds of an election end before servers cut their clients off, after 2 s.
			"heartbeat-interval": "50",
			"election-timeout":   "500",
		} {
			if got := flags.Lookup(name).Value.String(); got != want {
				t.Errorf("%s has -%s=%s, want %s", pod, name, got, want)
			}
		}
		// The volume has space for the file, a snapshot, and the log.
		quota := flags.Lookup("quota-backend-bytes").Value.(flag.Getter).Get().(int64)
		claim := etcd.Spec.VolumeClaimTemplates[0]
		if size := claim.Spec.Resources.Requests[corev1.ResourceStorage]; quota < 1<<30 || 2*quota+1<<30 > size.Value() {
			t.Errorf("the quota is %d bytes on a volume of %s", quota, size.String())
		}
		if mount := c.VolumeMounts[0]; mount.Name != claim.Name || !strings.HasPrefix(flags.Lookup("data-dir").Value.String(), mount.MountPath+"/") {
			t.Errorf("the data is in %s, and the claim %s at %v", flags.Lookup("data-dir").Value, claim.Name, mount)
		}
	}
	for path, p := range map[string]*corev1.Probe{"/readyz": c.ReadinessProbe, "/livez": c.LivenessProbe} {
		if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != path || ports[p.HTTPGet.Port.String()] == 0 {
			t.Errorf("a probe of %s is %v", path, p)
		}
	}
	server := m.deployments["server"]
	if got := env(server, "STORE"); got != "etcd://"+strings.Join(store, ",") {
		t.Errorf("the servers' store is %s", got)
	}
	if len(server.Spec.Template.Spec.Volumes) > 0 || len(m.claims) > 0 {
		t.Error("the servers have a volume")
	}
	if n := strings.Count(string(m.text), c.Image); n != 1 {
		t.Errorf("the image is named %d times", n)
	}
}

// A drain, a roll or the placement of pods cannot end two of three at the same time, and all
// of them run on one node.
func TestOneOfThreeIsReplacedAtATime(t *testing.T) {
	t.Parallel()
	m := render(t, replicated)
	for _, name := range []string{"server", "etcd"} {
		pod := m.pods()[name]
		b := m.budgets[name]
		if b == nil || b.Spec.MaxUnavailable == nil || b.Spec.MaxUnavailable.IntValue() != 1 || !selects(t, b.Spec.Selector, pod.Labels) {
			t.Errorf("the budget of %s is %+v", name, b)
		}
		affinity := pod.Spec.Affinity.PodAntiAffinity
		apart := affinity.PreferredDuringSchedulingIgnoredDuringExecution
		if len(affinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0 || len(apart) != 1 ||
			apart[0].PodAffinityTerm.TopologyKey != corev1.LabelHostname || !selects(t, apart[0].PodAffinityTerm.LabelSelector, pod.Labels) {
			t.Errorf("the affinity of %s is %+v", name, affinity)
		}
		zones := pod.Spec.TopologySpreadConstraints
		if len(zones) != 1 || zones[0].WhenUnsatisfiable != corev1.ScheduleAnyway || zones[0].TopologyKey != corev1.LabelTopologyZone || !selects(t, zones[0].LabelSelector, pod.Labels) {
			t.Errorf("%s is spread by %+v", name, zones)
		}
	}
	if r := m.deployments["server"].Spec.Strategy.RollingUpdate; r == nil || r.MaxUnavailable.IntValue() != 1 {
		t.Errorf("the servers have the rolling update %v", r)
	}
	if u := m.statefulSets["etcd"].Spec.UpdateStrategy; u.Type != "RollingUpdate" || u.RollingUpdate != nil {
		t.Errorf("etcd has the update strategy %v", u)
	}
}

// Each pod reaches the ports that it needs, and no others.
func TestTheReplicatedPolicies(t *testing.T) {
	t.Parallel()
	m := withImport(t)
	pods := map[string]map[string]string{"stranger": {"app": "stranger"}} // without a policy
	ports := map[string][]corev1.ContainerPort{"stranger": {{Name: "domain", ContainerPort: 53, Protocol: corev1.ProtocolUDP}, {Name: "https", ContainerPort: 443}}}
	for name, pod := range m.pods() {
		pods[name], ports[name] = pod.Labels, pod.Spec.Containers[0].Ports
	}
	allowed := map[string]bool{
		"client1>server:http": true, "client2>server:http": true, "stranger>server:http": true,
		"server>server:internal": true,
		"server>etcd:client":     true, "import>etcd:client": true, "etcd>etcd:client": true, "etcd>etcd:peer": true,
		"stranger>stranger:domain": true, "stranger>stranger:https": true,
		"server>stranger:domain": true, "etcd>stranger:domain": true, "import>stranger:domain": true,
		"client1>stranger:domain": true, "client2>stranger:domain": true,
	}
	seen := 0
	for from := range pods {
		for to := range pods {
			for _, port := range ports[to] {
				what := fmt.Sprintf("%s>%s:%s", from, to, port.Name)
				if allowed[what] {
					seen++
				}
				if got := passes(t, m, pods[from], pods[to], port); got != allowed[what] {
					t.Errorf("%s is allowed: %v", what, got)
				}
			}
		}
	}
	if seen != len(allowed) {
		t.Errorf("%d of %d pairs were seen", seen, len(allowed))
	}
}

// passes reports whether the policies allow a pod to connect to a port of another one.
func passes(t *testing.T, m manifests, from, to map[string]string, port corev1.ContainerPort) bool {
	t.Helper()
	out, in := true, true // without a policy everything is allowed
	var outs []networkingv1.NetworkPolicyEgressRule
	var ins []networkingv1.NetworkPolicyIngressRule
	for _, p := range m.policies {
		if selects(t, &p.Spec.PodSelector, from) && slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
			out, outs = false, append(outs, p.Spec.Egress...)
		}
		if selects(t, &p.Spec.PodSelector, to) && slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
			in, ins = false, append(ins, p.Spec.Ingress...)
		}
	}
	of := func(peers []networkingv1.NetworkPolicyPeer, pod map[string]string) bool {
		return len(peers) == 0 || slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
			return p.IPBlock == nil && p.NamespaceSelector == nil && selects(t, p.PodSelector, pod)
		})
	}
	at := func(rules []networkingv1.NetworkPolicyPort) bool {
		return len(rules) == 0 || slices.ContainsFunc(rules, func(r networkingv1.NetworkPolicyPort) bool {
			protocol := corev1.ProtocolTCP
			if r.Protocol != nil {
				protocol = *r.Protocol
			}
			is := port.Protocol
			if is == "" {
				is = corev1.ProtocolTCP
			}
			return protocol == is && (r.Port.StrVal == port.Name || r.Port.IntVal == port.ContainerPort)
		})
	}
	for _, rule := range outs {
		out = out || of(rule.To, to) && at(rule.Ports)
	}
	for _, rule := range ins {
		in = in || of(rule.From, from) && at(rule.Ports)
	}
	return out && in
}

// withImport returns the manifests of the overlay, and the job, which is applied by hand.
func withImport(t *testing.T) manifests {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(replicated, "import.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m := render(t, replicated)
	m.decode(t, text)
	return m
}

// The job imports the file of the other overlays, without changing it, into the store of the
// servers.
func TestTheImport(t *testing.T) {
	t.Parallel()
	m := withImport(t)
	checkPods(t, m)
	pod := m.jobs["import"].Spec.Template
	c, server := pod.Spec.Containers[0], m.deployments["server"]
	files := render(t, "overlays/go-clients").deployments["server"].Spec.Template.Spec
	mount := files.Containers[0].VolumeMounts[0]
	if c.Image != server.Spec.Template.Spec.Containers[0].Image || len(c.Env) != 1 || c.Env[0].Name != "STORE" || c.Env[0].Value != env(server, "STORE") {
		t.Errorf("it runs %s with %v", c.Image, c.Env)
	}
	if !slices.Equal(c.Args, []string{"-import", mount.MountPath + "/numbers.txt"}) {
		t.Errorf("its arguments are %v", c.Args)
	}
	if v := c.VolumeMounts[0]; v.MountPath != mount.MountPath || !v.ReadOnly || pod.Spec.Volumes[0].Name != v.Name ||
		pod.Spec.Volumes[0].PersistentVolumeClaim.ClaimName != files.Volumes[0].PersistentVolumeClaim.ClaimName {
		t.Errorf("it has the volume %v at %v", pod.Spec.Volumes, v)
	}
	// The manual first applies only etcd, by its label.
	alone := []string{m.statefulSets["etcd"].Labels["app"], m.services["etcd"].Labels["app"], m.policies["etcd"].Labels["app"], m.budgets["etcd"].Labels["app"]}
	if !slices.Equal(alone, []string{"etcd", "etcd", "etcd", "etcd"}) {
		t.Errorf("etcd's objects have the labels %v", alone)
	}
	if selector := m.services["server"].Spec.Selector; selector["app"] == pod.Labels["app"] {
		t.Error("the Service selects it")
	}
}

// Each variable of a server is one of its flags, with a valid value.
func TestTheServersVariables(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "server")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../server")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	help, err := exec.CommandContext(t.Context(), binary, "-h").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, help)
	}
	eachOverlay(t, func(t *testing.T, m manifests) {
		c := m.deployments["server"].Spec.Template.Spec.Containers[0]
		if !strings.HasPrefix(c.Image, "counting-server:") {
			return
		}
		var vars []string
		for _, e := range c.Env {
			value := expand(e.Value, "server-x")
			if from := e.ValueFrom; from != nil {
				value = map[string]string{"status.podIP": "10.0.0.7", "metadata.name": "server-x"}[from.FieldRef.FieldPath]
			}
			vars = append(vars, e.Name+"="+value)
			if e.Name == "GOMEMLIMIT" || e.Name == "POD_IP" {
				continue
			}
			name := strings.ToLower(strings.ReplaceAll(e.Name, "_", "-"))
			if value == "" || !bytes.Contains(help, []byte("\n  -"+name+" ")) {
				t.Errorf("%s=%s is not a flag, or has no value", e.Name, value)
			}
		}
		if m.replicated() != slices.Contains(vars, "STORE_NAME=server-x") {
			t.Errorf("the variables are %v", vars)
		}
		version := exec.CommandContext(t.Context(), binary, "-version")
		version.Env = vars
		if out, err := version.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", vars, err, out)
		}
	})
}
