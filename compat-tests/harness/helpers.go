package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"counting/server/numbersfile"
	"counting/server/spelling"

	"github.com/gorilla/websocket"
)

// waitTimeout is how long WaitFor waits. It is longer than anything that a server
// does by its own timers, a heartbeat of 45 s, on a busy machine.
const waitTimeout = 150 * time.Second

// WaitFor polls a condition until it holds, and ends the test if it does not hold
// in time. The text says what is awaited, as in "waited 2m30s for ten more lines".
func WaitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(waitTimeout); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", waitTimeout, what)
		}
	}
}

// Response is what a test compares of an HTTP response.
type Response struct {
	Status int
	Body   string
}

func (r Response) String() string { return fmt.Sprintf("%d %q", r.Status, r.Body) }

// Fetch sends an HTTP request and returns the response. After an error the Response
// has what was received until then.
func Fetch(ctx context.Context, method, url, body string) (Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return Response{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return Response{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return Response{response.StatusCode, string(text)}, err
}

// Get is Fetch for a GET request that must not fail.
func Get(t testing.TB, url string) Response {
	t.Helper()
	r, err := Fetch(t.Context(), http.MethodGet, url, "")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Lines checks that the numbers.txt of a data directory is an unbroken count, and
// returns how many complete lines it has: 0 if it does not exist. Otherwise it ends the
// test. The last line may be incomplete, as a server may be writing it.
func Lines(t testing.TB, dir string) int64 {
	t.Helper()
	return verified(t, dir, true)
}

// CompleteLines is Lines for a server that has ended: the last line must be complete.
func CompleteLines(t testing.TB, dir string) int64 {
	t.Helper()
	return verified(t, dir, false)
}

func verified(t testing.TB, dir string, torn bool) int64 {
	t.Helper()
	n, bad, err := numbersfile.Verify(filepath.Join(dir, numbersfile.Name))
	if torn && bad != nil && bad.Torn && strings.HasPrefix(bad.Want, bad.Got) {
		bad = nil
	}
	if bad != nil || err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("numbers.txt: %v, %v", bad, err)
	}
	return n
}

// Counted returns the lines of a numbers.txt that has the numbers from first to last.
func Counted(first, last int64) string {
	var text []byte
	for n := first; n <= last; n++ {
		text = append(spelling.Append(text, n), '\n')
	}
	return string(text)
}

// DialSession opens an Engine.IO session over WebSocket, at the URL of a server. The query
// is added to that of the handshake, as in "&game=blue". The connection is closed at the
// end of the test.
func DialSession(t testing.TB, url, query string) *websocket.Conn {
	t.Helper()
	url = "ws" + strings.TrimPrefix(url, "http") + "/socket.io/?EIO=4&transport=websocket" + query
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
