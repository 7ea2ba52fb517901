package numbersfile

import (
	"fmt"
	"time"
)

// progressInterval is the time before the first and between further progress lines.
const progressInterval = 2 * time.Second

// throttled returns a function that calls Progress with the result of what, at most
// once in every progressInterval. It is not safe for concurrent use.
func (o Options) throttled() func(what func() string) {
	last := time.Now()
	return func(what func() string) {
		if o.Progress != nil && time.Since(last) >= progressInterval {
			last = time.Now()
			o.Progress(what())
		}
	}
}

// reading returns a function that describes how much of a file has been read.
func reading(name string, done, size int64) func() string {
	return func() string {
		return fmt.Sprintf("Reading %s: %d%% of %d MB.", name, 100*done/max(size, 1), size/1e6)
	}
}
