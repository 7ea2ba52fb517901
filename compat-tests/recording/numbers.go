package recording

import (
	"slices"
	"strings"

	"github.com/divan/num2words"
)

// SameNumbers reports whether numbers.txt has the lines that it had when r was
// recorded, but for lines that may have changed places (rule 8 of FORMAT.md).
func (r *Recording) SameNumbers(came []string) bool {
	if len(came) != len(r.Numbers) {
		return false
	}
	if slices.Equal(came, r.Numbers) {
		return true
	}
	places, ok := r.places(came)
	if !ok {
		return false
	}
	sent := r.senders()
	for i := range places {
		for j := i + 1; j < len(places); j++ {
			// Recorded i before j; did they change places, and could they?
			if places[i] > places[j] && !r.mayChangePlaces(sent[i], sent[j]) {
				return false
			}
		}
	}
	return true
}

// places says where each recorded line stands in what came. ok is false if the
// lines are others altogether.
func (r *Recording) places(came []string) (places []int, ok bool) {
	taken := make([]bool, len(came))
	for _, line := range r.Numbers {
		at := -1
		for j, c := range came {
			if c == line && !taken[j] {
				at = j
				break
			}
		}
		if at < 0 {
			return nil, false
		}
		taken[at] = true
		places = append(places, at)
	}
	return places, true
}

// senders finds for each recorded line of numbers.txt the index in r.Lines of
// the packet that caused it, or -1. Only whole numbers are looked for: what
// has no sender found stays in its place.
func (r *Recording) senders() []int {
	senders := make([]int, len(r.Numbers))
	used := map[int]bool{}
	for i, number := range r.Numbers {
		senders[i] = -1
		for j, l := range r.Lines {
			if l.From != Client || l.Packet == nil || used[j] {
				continue
			}
			if n, ok := numberSent(*l.Packet); ok && bare(num2words.Convert(n)) == bare(number) {
				senders[i], used[j] = j, true
				break
			}
		}
	}
	return senders
}

// bare leaves the words of a spelling on which all agree.
func bare(spelling string) string {
	spelling = strings.NewReplacer(",", "", "-", " ", " and ", " ").Replace(spelling)
	return strings.Join(strings.Fields(spelling), " ")
}

// mayChangePlaces reports whether the packets at i and j came from two
// sessions with nothing from the server in between.
func (r *Recording) mayChangePlaces(i, j int) bool {
	if i < 0 || j < 0 || r.Lines[i].Session == r.Lines[j].Session {
		return false
	}
	for _, l := range r.Lines[min(i, j):max(i, j)] {
		if l.From == Server && !(&session{}).passesOver(l) {
			return false
		}
	}
	return true
}
