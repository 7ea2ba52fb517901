package main

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"counting/compat-tests/lockedbuffer"
)

// Resident memory of sessions and connections, measured at the default limits over
// polling, which uses most: with 2,000 sessions that wait in a poll and 500 idle
// connections the server used 84 MB.
const (
	processBytes    = 16 << 20
	sessionBytes    = 32 << 10 // with its connection
	connectionBytes = 20 << 10 // without a session
)

// All memory that clients can make the server use at the default limits is within the
// limit of the manifests.
func TestDefaultLimitsFitTheManifests(t *testing.T) {
	t.Parallel()
	manifest, err := os.ReadFile("../k8s/base/server.yaml")
	if err != nil {
		t.Fatal(err)
	}
	megabytes := func(pattern string) int64 {
		m := regexp.MustCompile(pattern).FindSubmatch(manifest)
		if m == nil {
			t.Fatalf("server.yaml has no %s", pattern)
		}
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		return n << 20
	}
	limit := megabytes(`limits: \{.*memory: (\d+)Mi\}`)
	soft := megabytes(`GOMEMLIMIT[^\n]*\n\s+value: (\d+)MiB`)
	c, err := parseConfig(nil, noEnv, new(lockedbuffer.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	sessions, connections := int64(c.limits.Sessions), int64(c.maxConnections)
	most := processBytes + sessions*sessionBytes + max(0, connections-sessions)*connectionBytes + c.limits.Sending + c.limits.Receiving +
		int64(c.maxGames)*gameBytes
	if most > limit {
		t.Errorf("clients can make the server use %d MiB, the manifests give it %d MiB", most>>20, limit>>20)
	}
	if soft >= limit {
		t.Errorf("GOMEMLIMIT is %d MiB, the manifests' limit %d MiB", soft>>20, limit>>20)
	}
	for name, per := range map[string][2]int64{
		"sessions":    {int64(c.limits.SessionsPerAddress), sessions},
		"connections": {int64(c.maxConnectionsPerAddress), connections},
		"a game":      {int64(c.limits.SessionsPerGroup), int64(c.limits.SessionsPerAddress)},
		"receiving":   {c.limits.ReceivingPerAddress, c.limits.Receiving},
		"sending":     {c.limits.SendingPerAddress, c.limits.Sending},
	} {
		if per[0] <= 0 || per[0] > per[1]/2 {
			t.Errorf("%s: one address may have %d of %d", name, per[0], per[1])
		}
	}
}
