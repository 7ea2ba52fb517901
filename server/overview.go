package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"counting/server/live"
	"counting/server/store"
)

const (
	// gamesPerPage is how many games a page of /games has by default, and
	// maxGamesPerPage the largest value of the parameter limit.
	gamesPerPage    = 100
	maxGamesPerPage = 1000
	// summaryAge is how old the summaries in a response may be. It bounds how often
	// they are computed, however many requests there are.
	summaryAge = 250 * time.Millisecond
)

// overview serves the list of the games.
type overview struct {
	games *games

	mu    sync.Mutex // held while games and directories are listed
	taken time.Time
	open  []live.Summary // the open games at that time, by name
}

// gamesPage is a page of the list.
type gamesPage struct {
	Now   time.Time      `json:"now"`
	Games []live.Summary `json:"games"`
	Next  string         `json:"next,omitempty"` // if there are more, the value of ?after=
}

// ServeHTTP answers GET /games: the games by name, the default game first, in
// pages. With the parameter open, only those that are open.
func (v *overview) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit := gamesPerPage
	if text := query.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxGamesPerPage {
			http.Error(w, fmt.Sprintf("limit must be a number from 1 to %d, it is %.40q", maxGamesPerPage, text), http.StatusBadRequest)
			return
		}
	}
	after, page := query.Get("after"), gamesPage{Now: time.Now().UTC()}
	var err error
	page.Games, err = v.list(r, after, limit+1, query.Has("open"))
	if err != nil {
		v.games.log.Warn("The games cannot be listed: " + err.Error())
		http.Error(w, "the games cannot be listed; the server's log says why", http.StatusInternalServerError)
		return
	}
	if len(page.Games) > limit {
		page.Games = page.Games[:limit]
		page.Next = page.Games[limit-1].Game
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store, no-transform")
	w.Header().Set("Vary", "Accept")
	json.NewEncoder(w).Encode(page)
}

// list returns up to n games.
func (v *overview) list(r *http.Request, after string, n int, onlyOpen bool) ([]live.Summary, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := time.Now(); now.Sub(v.taken) >= summaryAge {
		v.taken, v.open = now, v.open[:0:0]
		for _, o := range v.games.Games() {
			v.open = append(v.open, o.feed.Summary())
		}
		slices.SortFunc(v.open, byName)
	}
	list := slices.Clone(v.open)
	if !onlyOpen {
		kept, err := v.games.store.Games(r.Context(), after, n)
		if err != nil {
			return nil, err
		}
		for _, k := range kept {
			if _, open := slices.BinarySearchFunc(v.open, live.Summary{Game: k.Name}, byName); !open {
				list = append(list, closedGame(k, v.games.config.goal))
			}
		}
		slices.SortFunc(list, byName)
	}
	if r.URL.Query().Has("after") {
		list = slices.DeleteFunc(list, func(s live.Summary) bool { return s.Game <= after })
	}
	return append([]live.Summary{}, list[:min(n, len(list))]...), nil
}

func byName(a, b live.Summary) int { return strings.Compare(a.Game, b.Game) }

// closedGame returns the summary of a game that is not open.
func closedGame(k store.Game, goal int64) live.Summary {
	s := live.Summary{Game: k.Name, State: live.Closed, Count: k.Last, Goal: goal, Seats: []string{}}
	if !k.At.IsZero() {
		at := k.At.UTC()
		s.At = &at
	}
	return s
}

// negotiate serves the page to browsers, and JSON to other clients.
func (v *overview) negotiate(page http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			w.Header().Set("Vary", "Accept")
			page.ServeHTTP(w, r)
			return
		}
		v.ServeHTTP(w, r)
	})
}
