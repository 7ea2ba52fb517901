package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// A line is one client's way to the server, which can be hurt.
type line struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

func newLine(t *testing.T, upstream string) *line {
	t.Helper()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &line{t, toxiproxy.NewProxy(api, "line", "127.0.0.1:0", upstream)}
	l.start()
	t.Cleanup(l.proxy.Stop)
	return l
}

func (l *line) start() {
	l.t.Helper()
	if err := l.proxy.Start(); err != nil {
		l.t.Fatalf("the proxy at %s does not start: %v", l.proxy.Listen, err)
	}
}

func (l *line) url() string { return "http://" + l.proxy.Listen }

// injuries are what can be done to a line, until it is healed.
var injuries = []struct {
	name string
	do   func(l *line, random *rand.Rand)
}{
	{"connections cut, and refused", func(l *line, _ *rand.Rand) { l.proxy.Stop() }},
	{"half-open: all is swallowed", func(l *line, _ *rand.Rand) {
		l.add("timeout", "upstream", `"timeout":0`)
		l.add("timeout", "downstream", `"timeout":0`)
	}},
	{"what the server sends is swallowed", func(l *line, _ *rand.Rand) { l.add("timeout", "downstream", `"timeout":0`) }},
	{"what the client sends is swallowed", func(l *line, _ *rand.Rand) { l.add("timeout", "upstream", `"timeout":0`) }},
	{"slow: 1 KB/s", func(l *line, random *rand.Rand) { l.add("bandwidth", direction(random), `"rate":1`) }},
	{"in small pieces", func(l *line, random *rand.Rand) {
		l.add("slicer", direction(random), `"average_size":3,"size_variation":2,"delay":500`)
	}},
	{"delayed by 0 to 400 ms", func(l *line, random *rand.Rand) {
		l.add("latency", direction(random), `"latency":200,"jitter":200`)
	}},
	{"closed within a frame", func(l *line, random *rand.Rand) {
		l.add("limit_data", direction(random), fmt.Sprintf(`"bytes":%d`, 1+random.IntN(1000)))
	}},
	{"reset", func(l *line, random *rand.Rand) { l.add("reset_peer", direction(random), `"timeout":0`) }},
}

func direction(random *rand.Rand) string {
	return []string{"upstream", "downstream"}[random.IntN(2)]
}

func (l *line) add(kind, direction, attributes string) {
	l.t.Helper()
	toxic := fmt.Sprintf(`{"type":%q,"stream":%q,"attributes":{%s}}`, kind, direction, attributes)
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		l.t.Fatalf("%s: %v", toxic, err)
	}
}

// heal makes the line whole. Connections that were hurt may break by it.
func (l *line) heal() {
	l.t.Helper()
	l.proxy.Toxics.ResetToxics(context.Background())
	if !l.proxy.Enabled {
		l.start()
	}
}
