package live

import (
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// A stream starts after an existing line, or is refused.
func FuzzPosition(f *testing.F) {
	for _, value := range []string{"", "0", "7", "8", "-1", "-0", "+7", "007", "1e3", "9223372036854775808", "0x7", " 7", "7\n", "٧"} {
		f.Add(value, "")
		f.Add("", "after="+url.QueryEscape(value))
		f.Add(value, "after=3")
	}
	f.Add("", "after=3&after=9;%zz")
	const lines = 7
	feed, err := NewHub(HubOptions{}).Open(Options{Count: lines, Unbroken: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id, query string) {
		r := httptest.NewRequest(http.MethodHead, "/events", nil)
		r.URL.RawQuery = query
		if id != "" {
			r.Header["Last-Event-Id"] = []string{id}
		}
		value := id
		if value == "" {
			value = r.URL.Query().Get("after")
		}
		want := int64(lines)
		n, isNumber := new(big.Int).SetString(value, 10)
		ok := value == "" || isNumber && n.Sign() >= 0 && n.Cmp(big.NewInt(lines)) <= 0
		if ok && value != "" {
			want = n.Int64()
		}
		if got, err := position(r, lines); (err == nil) != ok || ok && got != want {
			t.Errorf("%q, %q: %d, %v, want %d, %v", id, query, got, err, want, ok)
		}
		w := httptest.NewRecorder()
		feed.ServeEvents(w, r)
		if (w.Code == http.StatusOK) != ok || !ok && w.Code != http.StatusBadRequest {
			t.Errorf("%q, %q: %d %s", id, query, w.Code, w.Body)
		}
	})
}
