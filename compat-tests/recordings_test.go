package compat_test

import (
	"path/filepath"
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
	names, err := filepath.Glob("recordings/*.jsonl")
	if err != nil || len(names) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, name := range names {
		r, err := recording.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			test(t, r)
		})
	}
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
