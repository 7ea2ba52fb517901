package clientaddr

import (
	"net/http"
	"testing"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, trusted, peer, forwarded, want string }{
		{"nobody is trusted", "", "192.0.2.1:1234", "198.51.100.7", "192.0.2.1"},
		{"a trusted proxy names its client", "192.0.2.0/24", "192.0.2.1:1234", "198.51.100.7", "198.51.100.7"},
		{"what the client made up is not believed", "192.0.2.1", "192.0.2.1:1234", "203.0.113.9, 198.51.100.7", "198.51.100.7"},
		{"proxies in a row", "192.0.2.1, 10.0.0.0/8", "192.0.2.1:1234", "198.51.100.7, 10.1.2.3", "198.51.100.7"},
		{"with a port", "192.0.2.1", "192.0.2.1:1234", "198.51.100.7:4321", "198.51.100.7"},
		{"IPv6", "2001:db8::1", "[2001:db8::1]:1234", "[2001:db8:1::2]:4321", "2001:db8:1::2"},
		{"not an address", "192.0.2.1", "192.0.2.1:1234", "unknown", "192.0.2.1"},
		{"no header", "192.0.2.1", "192.0.2.1:1234", "", "192.0.2.1"},
		{"an IPv4 address in IPv6", "192.0.2.1", "[::ffff:192.0.2.1]:1234", "198.51.100.7", "198.51.100.7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			trusted, err := ParseTrusted(tt.trusted)
			if err != nil {
				t.Fatal(err)
			}
			r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{}}
			if tt.forwarded != "" {
				r.Header.Set("X-Forwarded-For", tt.forwarded)
			}
			if got := trusted.Of(r).String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	for _, list := range []string{"x", "192.0.2.0/33", "192.0.2.1,,y"} {
		if _, err := ParseTrusted(list); err == nil {
			t.Errorf("%q is taken", list)
		}
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		one, other string
		same       bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
	} {
		if got := Key(Parse(tt.one)) == Key(Parse(tt.other)); got != tt.same {
			t.Errorf("%s and %s are counted together: %v, want %v", tt.one, tt.other, got, tt.same)
		}
	}
}
