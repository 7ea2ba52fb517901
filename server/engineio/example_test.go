package engineio_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"counting/server/engineio"
)

// echo sends every message back.
type echo struct{ session *engineio.Session }

func (echo) Heartbeat()   {}
func (echo) Close(string) {}
func (e echo) Message(data []byte, binary bool) {
	if binary {
		e.session.SendBinary(data)
	} else {
		e.session.Send(string(data))
	}
}

// A server that echoes messages, and a client that polls it.
func Example() {
	engine := engineio.New(func(s *engineio.Session) engineio.Handler { return echo{s} }, engineio.Options{})
	defer engine.Close()
	server := httptest.NewServer(engine)
	defer server.Close()

	get := func(url string) string {
		response, err := http.Get(url)
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return string(body)
	}
	url := server.URL + "/engine.io/?EIO=4&transport=polling"
	_, sid, _ := strings.Cut(get(url), `"sid":"`)
	url += "&sid=" + sid[:20]
	http.Post(url, "text/plain", bytes.NewBufferString("4hello\x1ebAQID"))
	fmt.Printf("%q\n", get(url))
	// Output: "4hello\x1ebAQID"
}
