package live

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A Python client that comes back plays from start_game on, and fails for good
// if its "40" is not there yet: by polling, one poll brings both.
func TestStartGameAndConnectComeInOnePoll(t *testing.T) {
	t.Parallel()
	for _, server := range []kindOfServer{goServer, flask} {
		t.Run("from the "+server.name, func(t *testing.T) {
			t.Parallel()
			server.need(t)
			g := play(t, server.mode)
			server.start(g)
			polled(t, g.url)
			second := polled(t, g.url)
			last := second[len(second)-1]
			if !strings.HasPrefix(last, `42["start_game"]`+"\x1e40{") && !strings.Contains(last, "\x1e42[\"start_game\"]\x1e40{") {
				t.Errorf("the second client's polls brought %q", second)
			}
		})
	}
}

// polled connects by polling, and returns what the polls brought until "40" was
// in one.
func polled(t *testing.T, url string) (polls []string) {
	t.Helper()
	url += "/socket.io/?EIO=4&transport=polling"
	var open struct{ Sid string }
	if err := json.Unmarshal([]byte(answer(t, http.MethodGet, url, "")[1:]), &open); err != nil {
		t.Fatal(err)
	}
	url += "&sid=" + open.Sid
	joined := make(chan string, 1)
	go func() { joined <- answer(t, http.MethodPost, url, "40") }()
	for {
		poll := answer(t, http.MethodGet, url, "")
		polls = append(polls, poll)
		if strings.Contains(poll, "40{") || poll == "" {
			<-joined
			return polls
		}
	}
}

// answer is the body of the answer to a request, "" if there is none.
func answer(t *testing.T, method, url, body string) string {
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return ""
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}
