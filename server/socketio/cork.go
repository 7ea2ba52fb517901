package socketio

import (
	"sync/atomic"

	"github.com/zishang520/engine.io/v2/transports"
	"github.com/zishang520/engine.io/v2/types"
)

// A cork makes a transport look busy. The library keeps what it is to send
// meanwhile, and sends it in one go, in one poll, when the cork is out.
type cork struct{ in atomic.Bool }

// corkable is a transport with a cork. All transports here are.
type corkable interface {
	transports.Transport
	setCork(in bool)
}

func (c *cork) setCork(in bool) { c.in.Store(in) }

// pollingBuilder builds the library's polling, with a cork.
type pollingBuilder struct{ transports.PollingBuilder }

func (b *pollingBuilder) New(ctx *types.HttpContext) transports.Transport {
	return &polling{Polling: b.PollingBuilder.New(ctx).(transports.Polling)}
}

type polling struct {
	transports.Polling
	cork
}

func (t *polling) Writable() bool { return !t.in.Load() && t.Polling.Writable() }
