package compat_test

import (
	"cmp"
	"path/filepath"
	"slices"
	"testing"

	"counting/compat-tests/recording"
	"counting/compat-tests/replay"
	"counting/compat-tests/subject"
)

func TestMain(m *testing.M) { subject.Main(m) }

// Every recording, played against the original's stand-in, gives what was
// recorded: that proves the stand-in.
func TestStandInDoesWhatWasRecorded(t *testing.T) {
	t.Parallel()
	eachRecording(t, func(t *testing.T, r *recording.Recording) {
		same(t, r, subject.Flask(t))
	})
}

// eachRecording runs a parallel subtest for each file in recordings/.
func eachRecording(t *testing.T, test func(*testing.T, *recording.Recording)) {
	t.Helper()
	for _, r := range recordings(t) {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			test(t, r)
		})
	}
}

// recordings are those in recordings/, the longest first: it takes the time
// that its heartbeats take, and the others pass meanwhile.
func recordings(t *testing.T) []*recording.Recording {
	t.Helper()
	names, err := filepath.Glob("recordings/*.jsonl")
	if err != nil || len(names) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	var all []*recording.Recording
	for _, name := range names {
		r, err := recording.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b *recording.Recording) int {
		return cmp.Compare(b.Lines[len(b.Lines)-1].At, a.Lines[len(a.Lines)-1].At)
	})
	return all
}

// same fails the test if the server does anything else than was recorded.
func same(t *testing.T, r *recording.Recording, s *subject.Server) {
	t.Helper()
	d, err := replay.Replay(t.Context(), r, replay.Options{Target: s.URL, Numbers: s.Numbers})
	if err != nil {
		t.Fatal(err)
	}
	if d != nil {
		t.Errorf("%s differs from its recording: %s", s.URL, d)
	}
}
