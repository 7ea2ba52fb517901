package replay

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"counting/compat-tests/siotape/rules"
	"counting/compat-tests/siotape/tape"
)

// A scripted peer does what another recording has: after each step of the clients, what
// the server did then.
type scripted struct {
	engine *engine
	steps  [][]tape.Line // what the server does after each step
	next   int
}

// script splits a recording into what followed each step of the clients.
func script(e *engine, came *tape.Recording) *scripted {
	p := newPlan(came, e.rules)
	s := &scripted{engine: e}
	for i := 0; i < len(came.Lines); i++ {
		l := came.Lines[i]
		switch {
		case l.HTTP != nil:
			s.steps = append(s.steps, []tape.Line{l})
		case l.From == tape.Client:
			n := p.together(i)
			st := &step{lines: came.Lines[i : i+n]}
			i += n - 1
			if !p.isRefusedPost(st, i+1) {
				s.steps = append(s.steps, nil)
			}
		case len(s.steps) > 0:
			s.steps[len(s.steps)-1] = append(s.steps[len(s.steps)-1], l)
		}
	}
	return s
}

func (s *scripted) act(request int) {
	for _, l := range s.steps[s.next] {
		s.engine.receive(&arrival{Line: l, request: request})
	}
	s.next++
}

func (s *scripted) play(*step) (string, error) {
	s.act(0)
	return "", nil
}

func (s *scripted) exchange(step int, _ tape.Exchange) { s.act(step) }

func (s *scripted) drain() {}

// compare compares a recording with what came, without waiting.
func compare(t *testing.T, r, came *tape.Recording, rs *rules.Rules) *Result {
	t.Helper()
	return compareWithin(t, r, came, rs, 20*time.Millisecond)
}

// compareWithin is compare with another patience.
func compareWithin(t *testing.T, r, came *tape.Recording, rs *rules.Rules, patience time.Duration) *Result {
	t.Helper()
	if rs == nil {
		rs = &rules.Rules{}
	}
	o := Options{Target: "http://localhost", Rules: rs, Patience: patience, Pace: time.Nanosecond, Quiet: time.Millisecond, Most: 1000}
	if came.End != nil && came.End.State != nil {
		o.State = func() ([]string, error) { return *came.End.State, nil }
	}
	o, _, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if rs.Order == rules.Recorded { // times do not matter then
		quick := *r
		quick.Lines = slices.Clone(r.Lines)
		for i := range quick.Lines {
			quick.Lines[i].At /= 1000
		}
		r = &quick
	}
	e := newEngine(r, o)
	res, err := e.run(t.Context(), script(e, came))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func given(t *testing.T, name string) *tape.Recording {
	t.Helper()
	r, err := tape.ReadFile(filepath.Join("..", "..", "recordings", name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func gameRules(t *testing.T) *rules.Rules {
	t.Helper()
	rs, err := rules.ReadFile(filepath.Join("..", "..", "recordings", rules.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func TestNoRecordingDiffersFromItself(t *testing.T) {
	t.Parallel()
	all, err := ReadAll(filepath.Join("..", "..", "recordings"), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			res := compare(t, r, given(t, r.Name), gameRules(t))
			for _, d := range res.Differences {
				t.Errorf("%s", d)
			}
			if res.Masked != 0 || res.Reordered != 0 || len(res.NotCompared) != 0 {
				t.Errorf("differences were allowed: %+v", res)
			}
		})
	}
}
