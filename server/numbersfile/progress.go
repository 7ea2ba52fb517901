package numbersfile

import (
	"fmt"
	"time"
)

// slow is how long something may take without a word, and the time from one
// word to the next.
const slow = 2 * time.Second

// slowly returns a function that calls Progress with what it is given, at most
// once in every slow. It is for one goroutine at a time.
func (o Options) slowly() func(what func() string) {
	last := time.Now()
	return func(what func() string) {
		if o.Progress != nil && time.Since(last) >= slow {
			last = time.Now()
			o.Progress(what())
		}
	}
}

// reading says how much of a file has been read.
func reading(name string, done, size int64) func() string {
	return func() string {
		return fmt.Sprintf("Reading %s: %d%% of %d MB.", name, 100*done/max(size, 1), size/1e6)
	}
}
