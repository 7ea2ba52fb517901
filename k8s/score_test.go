package k8s

import (
	"bytes"
	"testing"

	"github.com/zegl/kube-score/config"
	"github.com/zegl/kube-score/domain"
	"github.com/zegl/kube-score/parser"
	"github.com/zegl/kube-score/score"
	"github.com/zegl/kube-score/scorecard"
)

// explained are accepted findings of kube-score, each with the reason.
var explained = map[string]string{
	"container-image-pull-policy":                   "the images are built and loaded, and not in a registry",
	"container-ephemeral-storage-request-and-limit": "only the volume is writable, and a node without isolation of local storage, such as a rootless kind, would not accept the pod",
	"deployment-replicas":                           "numbers.txt has one writer, further servers are only standbys, and a Python client without a seat exits",
	"deployment-has-poddisruptionbudget":            "the spare of an evicted client takes its seat within a second",
	"deployment-strategy":                           "two servers must not write one file: the new one starts when the old one has ended",
}

func TestKubeScoreFindsNothingUnexplained(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for _, dir := range overlays(t) {
		for object, result := range kubeScore(t, dir, render(t, dir).text) {
			for _, r := range result.Checks {
				if r.Skipped || r.Grade > scorecard.GradeWarning {
					continue
				}
				found[r.Check.ID] = true
				if explained[r.Check.ID] == "" {
					t.Errorf("%s: %s: %s: %v", dir, object, r.Check.ID, r.Comments)
				}
			}
		}
	}
	for id := range explained {
		if !found[id] {
			t.Errorf("%s is explained, but no longer found", id)
		}
	}
}

func kubeScore(t *testing.T, name string, text []byte) scorecard.Scorecard {
	t.Helper()
	p, err := parser.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := p.ParseFiles([]domain.NamedReader{file{bytes.NewReader(text), name}})
	if err != nil {
		t.Fatal(err)
	}
	run := &config.RunConfiguration{KubernetesVersion: config.Semver{Major: 1, Minor: 34}, MinReplicasDeployment: 2}
	card, err := score.Score(objects, score.RegisterAllChecks(objects, nil, run), run)
	if err != nil {
		t.Fatal(err)
	}
	return *card
}
