package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// /games lists the games in pages, including those that are not open.
func TestTheListOfGames(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for _, game := range []string{"kept", "a-b"} {
		os.MkdirAll(filepath.Join(data, "games", game), 0o777)
		os.WriteFile(filepath.Join(data, "games", game, "numbers.txt"), []byte("one\ntwo\n"), 0o666)
	}
	s := startServerIn(t, data)
	a, b := joinTwo(t, s.inGame("game=blue"))
	a.send(number("1", "client1", 1))
	a.expect("431[]")
	b.send(number("1", "client2", 2))
	b.expect("431[]")
	join(t, s.inGame("game=lonely"), assigned1, joined)
	list := func(query string) (page gamesPage) {
		t.Helper()
		status, text, header := request(t, "GET", s.url+"/games?"+query, nil)
		if status != http.StatusOK || header.Get("Content-Type") != "application/json" {
			t.Fatalf("it is answered %d %q", status, text)
		}
		if err := json.Unmarshal([]byte(text), &page); err != nil {
			t.Fatal(err)
		}
		return page
	}
	names := func(page gamesPage) string {
		var names []string
		for _, g := range page.Games {
			names = append(names, g.Game+":"+string(g.State))
		}
		return strings.Join(names, " ") + ">" + page.Next
	}
	for query, want := range map[string]string{
		"":                    ":idle a-b:closed blue:counting kept:closed lonely:idle>",
		"open":                ":idle blue:counting lonely:idle>",
		"limit=2":             ":idle a-b:closed>a-b",
		"limit=2&after=a-b":   "blue:counting kept:closed>kept",
		"limit=2&after=kept":  "lonely:idle>",
		"after=":              "a-b:closed blue:counting kept:closed lonely:idle>",
		"after=zzz":           ">",
		"open&limit=1&after=": "blue:counting>blue",
	} {
		waitFor(t, query+" to be "+want, func() bool { return names(list(query)) == want })
	}
	kept, blue := list("after=b&limit=2").Games[1], list("after=b&limit=1").Games[0]
	if kept.Game != "kept" || kept.Count != 2 || kept.At == nil || blue.Game != "blue" || blue.Count != 2 || len(blue.Seats) != 2 || blue.Goal != 2000 {
		t.Errorf("listed are %+v, %+v", kept, blue)
	}
	r, _ := http.NewRequest("GET", s.url+"/games", nil)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.Header.Get("Content-Type") != "text/html; charset=utf-8" || response.Header.Get("Vary") != "Accept" {
		t.Errorf("a browser is answered %v", response.Header)
	}
	for _, limit := range []string{"0", "-1", "x", "1001"} {
		if status, text, _ := request(t, "GET", s.url+"/games?limit="+limit, nil); status != http.StatusBadRequest || !strings.Contains(text, "limit must be") {
			t.Errorf("limit=%s is answered %d %q", limit, status, text)
		}
	}
}
