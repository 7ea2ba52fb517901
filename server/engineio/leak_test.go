package engineio

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if goroutines are left. A connection that the HTTP client has dialed in
// vain becomes idle only afterwards.
func TestMain(m *testing.M) {
	code := m.Run()
	var err error
	for range 10 {
		http.DefaultClient.CloseIdleConnections()
		if err = goleak.Find(); err == nil {
			break
		}
	}
	if err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
