package live

import (
	"counting/compat-tests/harness"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// A Python client that reconnects sends numbers from start_game on, and fails
// permanently if its "40" has not arrived by then. One poll must return both.
func TestStartGameAndConnectComeInOnePoll(t *testing.T) {
	t.Parallel()
	for _, server := range []kindOfServer{goServer, flask} {
		t.Run("from the "+server.name, func(t *testing.T) {
			t.Parallel()
			server.need(t)
			g := newGame(t, server.mode)
			server.start(g)
			polled(t, g.url)
			second := polled(t, g.url)
			last := second[len(second)-1]
			if !strings.HasPrefix(last, `42["start_game"]`+"\x1e40{") && !strings.Contains(last, "\x1e42[\"start_game\"]\x1e40{") {
				t.Errorf("the polls of the second client returned %q", second)
			}
		})
	}
}

// polled connects by polling, and returns the bodies of its polls up to the one with
// "40".
func polled(t *testing.T, url string) (polls []string) {
	t.Helper()
	url += "/socket.io/?EIO=4&transport=polling"
	var open struct{ Sid string }
	if err := json.Unmarshal([]byte(harness.Get(t, url).Body[1:]), &open); err != nil {
		t.Fatal(err)
	}
	url += "&sid=" + open.Sid
	joined := make(chan string, 1)
	go func() { joined <- fetched(t, http.MethodPost, url, "40") }()
	for {
		poll := fetched(t, http.MethodGet, url, "")
		polls = append(polls, poll)
		if strings.Contains(poll, "40{") || poll == "" {
			<-joined
			return polls
		}
	}
}

// fetched returns the body of the response. After an error, which fails the test, that is
// what was received until then.
func fetched(t *testing.T, method, url, body string) string {
	response, err := harness.Fetch(t.Context(), method, url, body)
	if err != nil {
		t.Error(err)
	}
	return response.Body
}
