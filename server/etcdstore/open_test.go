package etcdstore

import (
	"context"
	"slices"
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]parsed{
		"etcd://a:1":                {endpoints: []string{"a:1"}},
		"etcd://a:1, b:2,[::1]:3/":  {endpoints: []string{"a:1", "b:2", "[::1]:3"}},
		"etcds://a:1/counting":      {endpoints: []string{"a:1"}, secure: true, prefix: "counting/"},
		"etcd://a:1/x/y/":           {endpoints: []string{"a:1"}, prefix: "x/y/"},
		"etcds://me@a:1,b:2/prefix": {endpoints: []string{"a:1", "b:2"}, secure: true, user: "me", prefix: "prefix/"},
	} {
		a := Address{URL: url}
		if want.user != "" {
			a.Password = "secret"
		}
		got, err := a.parse()
		if err != nil || !slices.Equal(got.endpoints, want.endpoints) || got.secure != want.secure || got.user != want.user || got.prefix != want.prefix {
			t.Errorf("%s is %+v, %v, want %+v", url, got, err, want)
		}
	}
	for url, why := range map[string]string{
		"":                 "must begin with etcd://",
		"http://a:1":       "must begin with etcd://",
		"etcd://":          `"" is not host:port`,
		"etcd://a":         `"a" is not host:port`,
		"etcd://a:1,,b:2":  `"" is not host:port`,
		"etcd://:1":        `":1" is not host:port`,
		"etcd://me:pw@a:1": "no password",
		"etcd://@a:1":      "user's name",
		"etcd://me@a:1":    "no password for the user",
		"etcd://a:1/b?c":   "prefix",
	} {
		if err := (Address{URL: url}).Check(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %q", url, err, why)
		}
	}
	for _, a := range []Address{{URL: "etcd://a:1", Cert: "c"}, {URL: "etcd://a:1", Key: "k"}, {URL: "etcd://a:1", Password: "p"}} {
		if a.Check() == nil {
			t.Errorf("%+v is taken", a)
		}
	}
}

func TestImport(t *testing.T) {
	inBubble(t, func(t *testing.T, m *memoryRegister, a, b *client) {
		if err := importGame(t.Context(), b, "", "blue", 4711); err != nil {
			t.Fatal(err)
		}
		s := open(t, a, Options{})
		defer s.Close(context.Background())
		c := start(t, s, "blue")
		if c.Last() != 4711 {
			t.Errorf("the count is at %d", c.Last())
		}
		c.countTo(4712)
		if err := importGame(t.Context(), b, "", "blue", 1_000_000); err == nil || !strings.Contains(err.Error(), "already, at 4712") {
			t.Errorf("imported again: %v", err)
		}
		if importGame(t.Context(), b, "", "Blue", 1) == nil || importGame(t.Context(), b, "", "red", 0) == nil {
			t.Error("imported a name or a count that cannot be")
		}
		for game, f := range map[string]fault{"lost-after": {after: errLost}, "lost-before": {before: errLost}} {
			failing := true
			b.setFault(func(_ context.Context, request string) fault {
				if request == "commit" && failing {
					failing = false
					return f
				}
				return fault{}
			})
			if err := importGame(t.Context(), b, "", game, 5); (err == nil) != (f.after != nil) {
				t.Errorf("%s: %v", game, err)
			}
		}
	})
}
