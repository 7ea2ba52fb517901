package recording

import (
	"strings"
	"testing"
)

func TestExpectationThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	packets := []string{"6"}
	tests := []struct {
		name string
		e    Expectation
		want string
	}{
		{"no_reason", Expectation{Changes: []Change{{Line: 4}}}, "why is missing"},
		{"no_line", Expectation{Changes: []Change{{Why: "x"}}}, "either line or after"},
		{"a_line_and_after", Expectation{Changes: []Change{{Line: 4, After: 5, Why: "x"}}}, "either line or after"},
		{"a_line_twice", Expectation{Changes: []Change{{Line: 3, Why: "x"}, {Line: 3, Why: "y"}}}, "changed twice"},
		{"a_line_of_the_client", Expectation{Changes: []Change{{Line: 2, Packets: packets, Why: "x"}}}, "not such a line"},
		{"an_answer_where_there_is_a_packet", Expectation{Changes: []Change{{Line: 3, HTTP: &Exchange{}, Why: "x"}}}, "not such a line"},
		{"a_line_that_is_not_there", Expectation{Changes: []Change{{Line: 400, Why: "x"}}}, "does not have"},
		{"numbers_without_a_reason", Expectation{Numbers: &NumbersInstead{}}, "numbers: why is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := given(t, "third-client").With(tt.e)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want: %s", err, tt.want)
			}
		})
	}
}

func TestExpectationChangesWhatItNamesAlone(t *testing.T) {
	t.Parallel()
	r := given(t, "websocket-only")
	other, err := r.With(Expectation{
		Changes: []Change{
			{Line: 5, Why: "x"},
			{Line: 6, Packets: []string{"a", "b"}, Why: "x"},
			{After: 7, Session: "A", Packets: []string{"c"}, Why: "x"},
		},
		Numbers: &NumbersInstead{Lines: []string{"one"}, Why: "x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range other.Lines[:8] {
		got = append(got, l.Session+" "+l.String()[:1])
	}
	if got, want := strings.Join(got, ", "), "A o, A 0, A 4, A a, A b, B o, A c, B 0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if len(other.Numbers) != 1 || len(r.Numbers) != 8 {
		t.Errorf("numbers: %v, and before: %v", other.Numbers, r.Numbers)
	}
}
