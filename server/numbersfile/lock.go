package numbersfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// ErrLocked is Open's error when another server has the directory.
var ErrLocked = errors.New("is in use by another server; stop it or use another -data directory")

const (
	// defaultLockWait is how long Open waits for another server to end. It is
	// longer than a server takes to stop, so that the next may be started
	// before the last is gone.
	defaultLockWait = 10 * time.Second
	// lockPoll is how often it looks.
	lockPoll = 25 * time.Millisecond
)

// lock returns a file that holds an exclusive lock on dir until it is closed or
// the process ends, however it ends. The original takes no lock and is not kept
// out.
func lock(ctx context.Context, dir string, wait time.Duration) (*os.File, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, wait, ErrLocked)
	defer cancel()
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for {
		held, err := tryLock(dir)
		if !errors.Is(err, errHeld) {
			return held, err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("data directory %s %w", dir, context.Cause(ctx))
		}
	}
}
