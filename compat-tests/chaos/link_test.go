package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"counting/compat-tests/freeport"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// A link is a proxy between one client and the server, which can cause faults.
type link struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

func newLink(t *testing.T, upstream string) *link {
	t.Helper()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &link{t, toxiproxy.NewProxy(api, "link", "127.0.0.1:"+freeport.New(), upstream)}
	l.start()
	t.Cleanup(l.proxy.Stop)
	return l
}

func (l *link) start() {
	l.t.Helper()
	if err := l.proxy.Start(); err != nil {
		l.t.Fatalf("the proxy at %s does not start: %v", l.proxy.Listen, err)
	}
}

func (l *link) url() string { return "http://" + l.proxy.Listen }

// linkFaults are the faults of a link, which last until it is repaired.
var linkFaults = []struct {
	name  string
	cause func(l *link, random *rand.Rand)
}{
	{"connections closed, and refused", func(l *link, _ *rand.Rand) { l.proxy.Stop() }},
	{"half-open: all data is lost", func(l *link, _ *rand.Rand) {
		l.add("timeout", "upstream", `"timeout":0`)
		l.add("timeout", "downstream", `"timeout":0`)
	}},
	{"what the server sends is lost", func(l *link, _ *rand.Rand) { l.add("timeout", "downstream", `"timeout":0`) }},
	{"what the client sends is lost", func(l *link, _ *rand.Rand) { l.add("timeout", "upstream", `"timeout":0`) }},
	{"slow: 1 KB/s", func(l *link, random *rand.Rand) { l.add("bandwidth", direction(random), `"rate":1`) }},
	{"in small pieces", func(l *link, random *rand.Rand) {
		l.add("slicer", direction(random), `"average_size":3,"size_variation":2,"delay":500`)
	}},
	{"delayed by 0 to 400 ms", func(l *link, random *rand.Rand) {
		l.add("latency", direction(random), `"latency":200,"jitter":200`)
	}},
	{"closed within a frame", func(l *link, random *rand.Rand) {
		l.add("limit_data", direction(random), fmt.Sprintf(`"bytes":%d`, 1+random.IntN(1000)))
	}},
	{"reset", func(l *link, random *rand.Rand) { l.add("reset_peer", direction(random), `"timeout":0`) }},
}

func direction(random *rand.Rand) string {
	return []string{"upstream", "downstream"}[random.IntN(2)]
}

func (l *link) add(kind, direction, attributes string) {
	l.t.Helper()
	toxic := fmt.Sprintf(`{"type":%q,"stream":%q,"attributes":{%s}}`, kind, direction, attributes)
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		l.t.Fatalf("%s: %v", toxic, err)
	}
}

// repair ends the faults. Connections that had them may be closed by it.
func (l *link) repair() {
	l.t.Helper()
	l.proxy.Toxics.ResetToxics(context.Background())
	if !l.proxy.Enabled {
		l.start()
	}
}
