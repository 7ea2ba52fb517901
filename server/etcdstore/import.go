package etcdstore

import (
	"context"
	"fmt"
	"time"

	"counting/server/protocol"
	"counting/server/store"
)

// importTime is the timeout of each request of an import.
const importTime = 5 * time.Second

// importGame creates a game without an owner.
func importGame(ctx context.Context, r register, prefix, game string, last int64) error {
	if game != store.Default {
		if err := protocol.CheckGame(game); err != nil {
			return err
		}
	}
	if last < 1 {
		return fmt.Errorf("there is nothing to import: the count is at %d", last)
	}
	key := prefix + "games/" + game
	v := gameValue{Count: last, Epoch: 1, At: time.Now().UnixMilli()}
	request, cancel := context.WithTimeout(ctx, importTime)
	defer cancel()
	out, err := r.commit(request, []change{{key: key, value: v.encode()}})
	var now entry
	if err == nil {
		if out[0].done {
			return nil
		}
		now = out[0].now
	} else {
		// The commit may have been carried out nevertheless.
		again, cancel := context.WithTimeout(ctx, importTime)
		defer cancel()
		found, readErr := r.read(again, key)
		if readErr != nil || found.revision == 0 {
			return fmt.Errorf("etcd did not report whether the game was created; import it again, which is safe: %w", err)
		}
		now = found
	}
	if found, err := decodeGame(now); err != nil {
		return err
	} else if found == v {
		return nil
	} else {
		return fmt.Errorf("etcd has the game already, at %d (key %q); nothing was changed", found.Count, key)
	}
}
