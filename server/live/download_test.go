package live

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The lines of a count without a file are spelled.
func TestDownloadWithoutAFile(t *testing.T) {
	t.Parallel()
	feed, err := NewHub(HubOptions{}).Open(Options{Count: 3, Unbroken: true})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(feed.ServeFile))
	t.Cleanup(server.Close)
	get := func(header, value string) (*http.Response, string) {
		t.Helper()
		r, _ := http.NewRequest(http.MethodGet, server.URL, nil)
		if header != "" {
			r.Header.Set(header, value)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response, string(body)
	}
	all, text := get("", "")
	if text != "one\ntwo\nthree\n" || all.ContentLength != int64(len(text)) {
		t.Errorf("the file is %q, its length %d", text, all.ContentLength)
	}
	if part, text := get("Range", "bytes=4-6"); part.StatusCode != http.StatusPartialContent || text != "two" {
		t.Errorf("the range is %s, %q", part.Status, text)
	}
	if same, _ := get("If-None-Match", all.Header.Get("ETag")); same.StatusCode != http.StatusNotModified {
		t.Errorf("what has not changed is %s", same.Status)
	}
	feed.Written([]float64{4}, time.Millisecond)
	if more, text := get("If-None-Match", all.Header.Get("ETag")); more.StatusCode != http.StatusOK || !strings.HasSuffix(text, "three\nfour\n") {
		t.Errorf("what has changed is %s, %q", more.Status, text)
	}
}

// A download includes acked numbers that the feed was not notified of yet.
func TestADownloadIsNotBehindAnAck(t *testing.T) {
	t.Parallel()
	feed, err := NewHub(HubOptions{}).Open(Options{Count: 3, Unbroken: true, Written: func() int64 { return 5 }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(feed.ServeFile))
	t.Cleanup(server.Close)
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || string(text) != "one\ntwo\nthree\nfour\nfive\n" {
		t.Errorf("the file is %q, %v", text, err)
	}
}
